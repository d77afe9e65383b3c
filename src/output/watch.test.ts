import { expect, test } from 'vitest';
import { watch } from './watch.ts';

async function shown(isTTY: boolean): Promise<string> {
  const written: string[] = [];
  const stop = new AbortController();
  let round = 0;
  await watch(async () => `round ${++round}\nevil \u001b[2J\n\n`, {
    everyMs: 1000,
    signal: stop.signal,
    sleep: async () => {
      if (round === 2) stop.abort();
    },
    screen: { isTTY, write: (text) => written.push(text) },
  });
  return written.join('');
}

test('on a terminal each round stands in the place of the one before, and nothing shown can move the cursor', async () => {
  const evil = 'evil \\x1b[2J\u001b[K\n';
  expect(await shown(true)).toBe(
    `\u001b[H\u001b[J\u001b[Hround 1\u001b[K\n${evil}\u001b[J\u001b[Hround 2\u001b[K\n${evil}\u001b[J`,
  );
});

test('elsewhere one follows the other', async () => {
  expect(await shown(false)).toBe('round 1\nevil \\x1b[2J\n\nround 2\nevil \\x1b[2J\n\n');
});
