import { describe, expect, test } from 'vitest';
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

  test('no shell looks at the arguments', async () => {
    expect((await run(['echo', '$HOME; *'])).stdout.toString()).toBe('$HOME; *\n');
  });
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
