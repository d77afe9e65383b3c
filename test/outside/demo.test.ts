import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { footprint } from '../helpers/footprint.ts';

const root = join(import.meta.dirname, '../..');

let source: string;

beforeAll(async () => {
  // The private machine has a /tmp of its own.
  source = await mkdtemp('/var/tmp/byteback-demo-');
  await must(['cp', '-a', join(root, 'src'), join(source, 'src')]);
});

afterAll(async () => {
  await rm(source, { recursive: true });
});

describe('npm run demo', () => {
  it('shows the whole job and leaves the machine as it was', async () => {
    const before = await footprint();
    const demo = await command([join(root, 'demo/demo'), '--yes', '--source', source], { timeoutMs: 300_000 });
    expect(demo).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('Done. This machine is as it was.') });
    expect(demo.stdout).toContain(`✓ ${source} is identical`);
    expect(await footprint()).toBe(before);
  }, 300_000);

  it('refuses a source that is not there, before it builds anything', async () => {
    expect(await command([join(root, 'demo/demo'), '--source', join(tmpdir(), 'no such directory')])).toMatchObject({
      exitCode: 2,
      stdout: '',
      stderr: expect.stringContaining('no such directory'),
    });
  });
});
