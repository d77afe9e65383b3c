import { describe, expect, it } from 'vitest';
import { BytebackError } from '../../errors.ts';
import { type Log, silentLog } from '../../system/log.ts';
import { lookAhead, type Step, stepLine, takeSteps } from './step.ts';

function logOf(lines: string[]): Log {
  return { ...silentLog, step: (text) => lines.push(text) };
}

/** A step that has something to do until it is taken, and keeps count. */
function stepThat(title: string, options: { done?: boolean; sticks?: boolean; fails?: unknown } = {}) {
  let done = options.done ?? false;
  const calls: string[] = [];
  const step: Step = {
    title,
    check: async () => {
      calls.push('check');
      return done ? undefined : `do ${title}`;
    },
    act: async () => {
      calls.push('act');
      if (options.fails !== undefined) throw options.fails;
      done = options.sticks ?? true;
    },
  };
  return { step, calls };
}

describe('taking steps', () => {
  it('says each before it acts, leaves alone what is so, and counts', async () => {
    const lines: string[] = [];
    const [one, two] = [stepThat('one', { done: true }), stepThat('two')];
    expect(await takeSteps([one.step, two.step], logOf(lines), false)).toBe(1);
    expect(lines).toEqual(['one          ok', 'two          do two']);
    expect([one.calls, two.calls]).toEqual([['check'], ['check', 'act', 'check']]);
  });

  it('does nothing in a dry run', async () => {
    const lines: string[] = [];
    const { step, calls } = stepThat('one');
    expect(await takeSteps([step], logOf(lines), true)).toBe(1);
    expect(lines).toEqual(['one          would do one']);
    expect(calls).toEqual(['check']);
  });

  it('fails when a step does not bring about what it says', async () => {
    const { step } = stepThat('one', { sticks: false });
    await expect(takeSteps([step], silentLog, false)).rejects.toMatchObject({
      exit: 'bug',
      explanation: { what: 'set-up failed at: one', why: expect.stringContaining('still to do: do one') },
    });
  });

  it('names the step when a program fails, and passes on what is explained', async () => {
    const broken = stepThat('one', { fails: new Error('exited 1') });
    await expect(takeSteps([broken.step], silentLog, false)).rejects.toMatchObject({
      explanation: { what: 'set-up failed at: one', why: 'exited 1', fix: expect.stringContaining('again') },
    });
    const refusal = new BytebackError('refused', { what: 'no' });
    await expect(takeSteps([stepThat('one', { fails: refusal }).step], silentLog, false)).rejects.toBe(refusal);
  });

  it('can be looked at before the first is taken', async () => {
    const [one, two] = [stepThat('one'), stepThat('two')];
    await lookAhead([one.step, two.step]);
    expect([one.calls, two.calls]).toEqual([['check'], ['check']]);
  });
});

describe('a line of set-up', () => {
  it('is at most 79 columns wide, with its text in a column of its own', () => {
    const text = stepLine('file system', 'word '.repeat(40).trim());
    const [first = '', ...others] = text.split('\n');
    expect(first.startsWith('file system  word')).toBe(true);
    expect(others.every((line) => line.startsWith(' '.repeat(11)) && !line.startsWith(' '.repeat(12)))).toBe(true);
    // The log indents all but the first line by two more columns.
    expect([first.length, ...others.map((line) => line.length + 2)].every((length) => length <= 79)).toBe(true);
    expect(text.match(/word/g)).toHaveLength(40);
  });

  it('leaves a word alone that is too long', () => {
    expect(stepLine('a', 'x'.repeat(100))).toBe(`a${' '.repeat(12)}${'x'.repeat(100)}`);
  });
});
