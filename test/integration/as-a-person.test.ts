import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine } from '../helpers/installed-machine.ts';

let machine: InstalledMachine;

beforeAll(async () => {
  machine = await installedMachine();
});

afterAll(async () => {
  await machine?.dispose();
});

describe('as a person would', () => {
  it('has a server after one command', async () => {
    expect(machine.setup?.exitCode).toBe(0);
    expect((await command(['findmnt', '-n', '-o', 'FSTYPE', '/byteback'])).stdout.trim()).toBe('btrfs');
  });
});
