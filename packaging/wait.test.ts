import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { command } from '../test/helpers/command.ts';

let machine: string;

beforeEach(async () => {
  machine = await mkdtemp(join(tmpdir(), 'byteback-wait-'));
  await mkdir(join(machine, 'proc'));
  await writeFile(join(machine, 'proc/uptime'), '4711.08 1.00\n');
});
afterEach(() => rm(machine, { recursive: true }));

async function supply(name: string, about: Readonly<Record<string, string>>): Promise<void> {
  const directory = join(machine, 'sys/class/power_supply', name);
  await mkdir(directory, { recursive: true });
  for (const [file, text] of Object.entries(about)) await writeFile(join(directory, file), `${text}\n`);
}

/** 0 when it would let a run begin; 124 when it waits, and is ended. */
const wait = (env: Readonly<Record<string, string>> = {}) =>
  command(['timeout', '1', join(import.meta.dirname, 'launchers/byteback-wait'), machine], {
    // What is looked for in the machine that runs the test is not there.
    env: {
      BYTEBACK_WAIT_STEP: '0.05',
      PATH: '/usr/bin:/bin',
      DBUS_SYSTEM_BUS_ADDRESS: 'unix:path=/nonexistent',
      ...env,
    },
  });

describe('a run that nobody waits for', () => {
  it('begins on a machine without batteries', async () => {
    expect((await wait()).exitCode).toBe(0);
  });

  it('waits on battery, and says so once', async () => {
    await supply('AC', { type: 'Mains', online: '0' });
    await supply('BAT0', { type: 'Battery', status: 'Discharging' });
    expect(await wait()).toMatchObject({ exitCode: 124, stdout: 'byteback waits: on battery\n' });
    expect((await wait({ BYTEBACK_ON_BATTERY: 'yes' })).exitCode).toBe(0);
  });

  it('begins on mains power, and whatever the battery of a mouse does', async () => {
    await supply('AC', { type: 'Mains', online: '1' });
    await supply('BAT0', { type: 'Battery', status: 'Discharging' });
    expect((await wait()).exitCode).toBe(0);
    await supply('AC', { type: 'Mains', online: '0' });
    await supply('BAT0', { type: 'Battery', status: 'Full' });
    await supply('mouse', { type: 'Battery', status: 'Discharging', scope: 'Device' });
    expect((await wait()).exitCode).toBe(0);
  });
});
