import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { openDialogue } from './dialogue.ts';

const limits = { idleMs: 60_000, maxLineBytes: 1000 };
const patient = { timeoutMs: 60_000 };
/** Answers each line with what it was. */
const echo = ['sed', '--unbuffered', 's/.*/you said: &/'] as const;
const text = async (line: Promise<Buffer | undefined>) => (await line)?.toString('utf8');

describe('a dialogue with a program', () => {
  it('has each line answered by a line', async () => {
    const dialogue = openDialogue(echo, limits);
    expect(await text(dialogue.ask('one', patient))).toBe('you said: one');
    expect(await text(dialogue.ask('two', patient))).toBe('you said: two');
    dialogue.end();
    expect(await dialogue.ended).toEqual({ exitCode: 0, stderr: '' });
    expect(dialogue.isOpen).toBe(false);
    expect(await dialogue.ask('three', patient)).toBeUndefined();
  });

  it('says how the program ended when no answer comes', async () => {
    const dialogue = openDialogue(['sh', '-c', 'read line; echo "no $line" >&2; exit 7'], limits);
    expect(await dialogue.ask('luck', patient)).toBeUndefined();
    expect(await dialogue.ended).toEqual({ exitCode: 7, stderr: 'no luck\n' });
  });

  it('can end with its last question', async () => {
    const counting = openDialogue(['sh', '-c', 'wc -l'], limits);
    expect(await text(counting.ask('only', { ...patient, last: true }))).toBe('1');
    expect(counting.isOpen).toBe(false);
    expect((await counting.ended).exitCode).toBe(0);
  });

  it('gives up a program that is asked nothing', async () => {
    const dialogue = openDialogue(echo, { ...limits, idleMs: 1 });
    await dialogue.ended;
    expect(await dialogue.ask('late', patient)).toBeUndefined();
  });

  it('does not count the time in which the program works', async () => {
    const slow = openDialogue(['sh', '-c', 'read line; sleep 0.3; echo done; read line'], { ...limits, idleMs: 100 });
    expect(await text(slow.ask('work', patient))).toBe('done');
    expect(slow.isOpen).toBe(true);
    // Afterwards it does again.
    await slow.ended;
    expect(slow.isOpen).toBe(false);
  });

  it('ends a program that takes too long, or says too much', async () => {
    const silent = openDialogue(['sleep', '60'], limits);
    expect(await silent.ask('hello', { timeoutMs: 10 })).toBeUndefined();
    const endless = openDialogue(['cat', '/dev/zero'], limits);
    expect(await endless.ask('hello', patient)).toBeUndefined();
    await Promise.all([silent.ended, endless.ended]);
  });

  it('takes nothing for an answer that was said before the question', async () => {
    const early = openDialogue(['sh', '-c', 'echo early; while read line; do echo "to $line"; done'], limits);
    await sleep(100);
    expect(await text(early.ask('this', patient))).toBe('to this');
    early.end();
    await early.ended;
  });
});
