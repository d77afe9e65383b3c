import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { command } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

// A person's Ctrl-C and a shutdown's SIGTERM: the command ends at once, says so, and leaves nothing running.
let machine: InstalledMachine;
let client: TestClient;

beforeAll(async () => {
  machine = await installedMachine();
  client = await machine.client('web1', '--source', machine.disk);
  await writeFile(`${machine.disk}/file`, 'content\n');
});
afterAll(async () => {
  await machine?.dispose();
});

it.each(['SIGINT', 'SIGTERM'] as const)('%s ends a run that waits for its server', async (signal) => {
  await machine.stopSshd();
  const run = spawn('byteback-backup', ['--verbose'], {
    env: { ...process.env, ...client.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  await new Promise<void>((resolve) => {
    run.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk;
      if (stderr.includes('next attempt in')) resolve();
    });
  });
  const before = performance.now();
  run.kill(signal);
  const [code] = await once(run, 'close');
  await machine.startSshd();
  expect(code).toBe(130);
  expect(performance.now() - before).toBeLessThan(5000);
  expect(stderr).toMatch(new RegExp(`byteback-backup: interrupted\\n  why: by ${signal}\\n$`));
  // What has ended and waits for the first process of the private machine to notice is not running.
  expect((await command(['pgrep', '-a', '--runstates', 'RSD', '-u', 'byteback'])).stdout).toBe('');
  // Nothing stands in the way of the next run.
  expect(await client.run('byteback-backup')).toMatchObject({ exitCode: 0, stderr: '' });
});
