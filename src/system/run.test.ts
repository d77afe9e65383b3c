import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { describe, expect, test, vi } from 'vitest';
import { hearOfPrograms, type ProgramEvent } from './program-events.ts';
import { ProgramError, run, start } from './run.ts';

describe('run', () => {
  test('gives what a program printed, as bytes, and reads an input', async () => {
    const { stdout, stderr, exitCode } = await run(['cat'], { input: new Uint8Array([0xff, 0x0a]) });
    expect({ stdout: [...stdout], stderr, exitCode }).toEqual({ stdout: [0xff, 0x0a], stderr: '', exitCode: 0 });
  });

  test('a refused exit code is an error that names the program and what it said', async () => {
    await expect(run(['ls', '/nonexistent'])).rejects.toMatchObject({
      exitCodeOfProgram: 2,
      notFound: false,
      explanation: { what: 'ls failed', why: expect.stringContaining('No such file or directory') },
    });
    expect(await run(['ls', '/nonexistent'], { accept: [0, 2] })).toMatchObject({ exitCode: 2 });
  });

  test('a program that is not installed', async () => {
    await expect(run(['byteback-no-such-program'])).rejects.toMatchObject({
      notFound: true,
      explanation: { why: 'byteback-no-such-program is not installed, or not in PATH' },
    });
  });

  test('a program that takes too long', async () => {
    await expect(run(['sleep', '60'], { timeoutMs: 50 })).rejects.toThrow(ProgramError);
  });

  test('is over in time though something it started holds its output', async () => {
    await expect(run(['sh', '-c', 'sleep 60 & exit 0'], { timeoutMs: 200 })).rejects.toMatchObject({
      explanation: { why: expect.stringContaining('took too long') },
    });
  });

  test('a program that prints more than is kept, and one that is interrupted', async () => {
    await expect(run(['yes'], { maxOutputBytes: 1000 })).rejects.toMatchObject({
      explanation: { why: 'yes printed more than is kept' },
    });
    await expect(run(['sleep', '60'], { signal: AbortSignal.abort() })).rejects.toMatchObject({
      explanation: { why: 'sleep 60 was interrupted' },
    });
  });

  test('a signal is an exit code as a shell has it', async () => {
    expect(await run(['sh', '-c', 'kill -KILL $$'], { accept: [137] })).toMatchObject({ exitCode: 137 });
  });

  test('bytes for further descriptors, more than a pipe holds, whether they are read or not', async () => {
    const [one, two] = [Buffer.alloc(300_000, 'a'), Buffer.from('b')];
    const { stdout } = await run(['sh', '-c', 'cat <&4; wc -c <&3'], { feedFds: [one, two] });
    expect(stdout.toString()).toBe('b300000\n');
    expect(await run(['true'], { feedFds: [one], input: one })).toMatchObject({ exitCode: 0 });
  });

  test('arguments that the kernel does not take', async () => {
    await expect(run(['true', 'x'.repeat(4_000_000)])).rejects.toThrow(ProgramError);
  });

  test('no shell looks at the arguments', async () => {
    expect((await run(['echo', '$HOME; *'])).stdout.toString()).toBe('$HOME; *\n');
    // An account knows its shell.
    const account = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, shell: '/bin/sh' };
    const asRoot = process.getuid?.() === 0 ? { account } : {};
    expect((await run(['echo', '$HOME; *'], asRoot)).stdout.toString()).toBe('$HOME; *\n');
  });
});

test('nothing that was started goes on when byteback is ended', async () => {
  const source = `import { start } from ${JSON.stringify(join(import.meta.dirname, 'run.ts'))};
    console.log(start(['sleep', '60']).pid);`;
  const byteback = start([process.execPath, '--input-type=module', '--eval', source], { stdout: 'pipe' });
  const [pid] = (await once(byteback.stdout as Readable, 'data')) as [Buffer];
  byteback.kill('SIGTERM');
  expect(await byteback.ended).toMatchObject({ exitCode: 143 });
  // Nobody may have collected what is left of it.
  const words = () => readFile(`/proc/${Number(pid)}/cmdline`, 'utf8').catch(() => '');
  await vi.waitFor(async () => expect(await words()).toBe(''));
});

test('who wants to know hears of every program', async () => {
  const heard: ProgramEvent[] = [];
  const stop = hearOfPrograms((event) => heard.push(event));
  await run(['true']);
  await start(['false']).ended;
  stop();
  await run(['true']);
  expect(heard).toEqual([
    { argv: ['true'] },
    { argv: ['true'], ended: { durationMs: expect.any(Number), exitCode: 0 } },
    { argv: ['false'] },
    { argv: ['false'], ended: { durationMs: expect.any(Number), exitCode: 1 } },
  ]);
});
