import { expect, test } from 'vitest';
import { whyNoProof } from './enough-proof.ts';

const drawn = { files: 31, bytes: 1000 };

test.each([
  ['all equal', { drawn, equal: drawn, wrong: 0 }, undefined],
  ['half of the files and a tenth of the bytes', { drawn, equal: { files: 16, bytes: 100 }, wrong: 0 }, undefined],
  ['one empty file', { drawn, equal: { files: 1, bytes: 0 }, wrong: 0 }, /only 1 of 31 files/],
  ['fewer than half', { drawn, equal: { files: 15, bytes: 999 }, wrong: 0 }, /only 15 of 31 files/],
  ['the empty ones of many', { drawn, equal: { files: 30, bytes: 0 }, wrong: 0 }, /only 0 of 1000 bytes/],
  ['the small ones of many', { drawn, equal: { files: 30, bytes: 99 }, wrong: 0 }, /only 99 of 1000 bytes/],
  ['empty files alone', { drawn: { files: 3, bytes: 0 }, equal: { files: 3, bytes: 0 }, wrong: 0 }, /bytes/],
  ['nothing', { drawn: { files: 0, bytes: 0 }, equal: { files: 0, bytes: 0 }, wrong: 0 }, /only 0 of 0 files/],
  ['one wrong', { drawn, equal: { files: 30, bytes: 990 }, wrong: 1 }, /1 of 31 files differ/],
])('%s', (_, compared, why) => {
  if (why === undefined) expect(whyNoProof(compared)).toBeUndefined();
  else expect(whyNoProof(compared)).toMatch(why);
});
