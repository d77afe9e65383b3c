import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { startAhead } from './ahead.ts';

const answering = async (request: Promise<string>) => `answer to ${await request}`;

describe('what is started ahead', () => {
  it('goes on with its request, once', async () => {
    const ahead = startAhead(answering, { afterMs: 60_000, nothing: '' });
    await expect(ahead.goOn('this')).resolves.toBe('answer to this');
    expect(ahead.goOn('that')).toBeUndefined();
  });

  it('is given up after a while, and ends', async () => {
    const heard: string[] = [];
    const ahead = startAhead(async (request: Promise<string>) => heard.push(await request), {
      afterMs: 1,
      nothing: 'nothing',
    });
    await sleep(20);
    expect(heard).toEqual(['nothing']);
    expect(ahead.goOn('late')).toBeUndefined();
  });

  it('fails only who goes on with it', async () => {
    const ahead = startAhead<string, never>(() => Promise.reject(new Error('gone')), { afterMs: 60_000, nothing: '' });
    await sleep(1);
    await expect(ahead.goOn('this')).rejects.toThrow('gone');
  });
});
