import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { link, mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
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
  expect(stderr).toMatch(
    new RegExp(
      `byteback-backup: interrupted\\n  why: by ${signal}; no snapshot was taken\\n  fix: run byteback-backup again: what was sent is not sent again\\n$`,
    ),
  );
  // What has ended and waits for the first process of the private machine to notice is not running.
  expect((await command(['pgrep', '-a', '--runstates', 'RSD', '-u', 'byteback'])).stdout).toBe('');
  // Nothing stands in the way of the next run.
  expect(await client.run('byteback-backup')).toMatchObject({ exitCode: 0, stderr: '' });
});

it('a first backup that was cut goes on without writing through links that it made', async () => {
  const tree = `${machine.disk}/links`;
  await mkdir(tree);
  await writeFile(`${tree}/a`, 'one content of two names\n');
  await link(`${tree}/a`, `${tree}/b`);
  await writeFile(`${tree}/z`, randomBytes(8_000_000));
  const web2 = await machine.client('web2', '--source', tree);
  const there = (name: string) => `${web2.place}/current/fs${tree}/${name}`;
  const run = spawn('byteback-backup', ['--verbose', '--bwlimit', '3M', '--retry-delay', '1s'], {
    env: { ...process.env, ...web2.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  run.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk;
  });
  const sizeOf = (name: string) =>
    stat(there(name)).then(
      ({ size }) => size,
      () => 0,
    );
  // Under its own name, and not whole yet.
  while (run.exitCode === null && (await sizeOf('z')) === 0) await new Promise((resolve) => setTimeout(resolve, 50));
  expect(await sizeOf('z')).toBeLessThan(8_000_000);
  expect((await stat(there('a'))).nlink).toBe(2);
  await machine.stopSshd();
  // The session's own process outlives its monitor, and would go on.
  await command(['pkill', '-KILL', '-f', '^sshd: byteback']);
  await writeFile(`${tree}/new`, 'another one, of one name\n');
  await rename(`${tree}/new`, `${tree}/b`);
  await machine.startSshd();
  const [code] = await once(run, 'close');
  expect(code, stderr).toBe(0);
  expect(stderr).toContain('sending everything: nothing is there yet');
  expect(stderr).toContain('next attempt in');
  const [snapshot] = await machine.snapshots('web2');
  for (const name of ['a', 'b', 'z']) {
    const kept = await readFile(`${web2.place}/snapshots/${snapshot}/fs${tree}/${name}`);
    expect(kept.equals(await readFile(`${tree}/${name}`)), name).toBe(true);
  }
});

it('a run in the middle of which the server goes down is prepared anew, and walks everything', async () => {
  const tree = `${machine.disk}/boot`;
  await mkdir(tree);
  await writeFile(`${tree}/small`, 'small\n');
  const web3 = await machine.client('web3', '--source', tree);
  expect(await web3.run('byteback-backup')).toMatchObject({ exitCode: 0 });
  await writeFile(`${tree}/big`, randomBytes(6_000_000));
  const run = spawn('byteback-backup', ['--verbose', '--bwlimit', '2M', '--retry-delay', '1s'], {
    env: { ...process.env, ...web3.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  run.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk;
  });
  const receives = async () => (await command(['pgrep', '-u', 'byteback', '-f', '^rsync --server'])).exitCode === 0;
  while (run.exitCode === null && !(await receives())) await new Promise((resolve) => setTimeout(resolve, 20));
  // As the record would stand on the disk of a machine that was started anew meanwhile.
  const file = `${web3.place}/current/run.json`;
  const record = JSON.parse(await readFile(file, 'utf8'));
  expect(record).toMatchObject({ state: 'open', bootId: expect.stringMatching(/^[0-9a-f-]{36}$/) });
  await writeFile(file, JSON.stringify({ ...record, bootId: '00000000-0000-4000-8000-000000000000' }));
  const [code] = await once(run, 'close');
  expect(code, stderr).toBe(0);
  expect(stderr).toContain('it is prepared anew');
  expect(stderr).toContain('walking everything on both sides: the last run did not complete');
  const snapshot = (await machine.snapshots('web3')).at(-1);
  const kept = await readFile(`${web3.place}/snapshots/${snapshot}/fs${tree}/big`);
  expect(kept.equals(await readFile(`${tree}/big`))).toBe(true);
});
