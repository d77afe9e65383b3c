import { expect, test } from 'vitest';
import { nextDaily } from './next-run.ts';

const now = new Date(2026, 10, 20, 3, 12, 30);

test.each([
  ['# a comment\nSHELL=/bin/sh\n13 3 * * * root /usr/bin/byteback-backup\n', new Date(2026, 10, 20, 3, 13)],
  ['12 3 * * * root /usr/bin/byteback-backup\n', new Date(2026, 10, 21, 3, 12)],
  ['0 0 * * * root /usr/bin/byteback-backup\n', new Date(2026, 10, 21)],
  ['*/5 * * * * root /usr/bin/byteback-backup\n', undefined],
  ['61 3 * * * root /usr/bin/byteback-backup\n', undefined],
  ['', undefined],
])('%j', (crontab, at) => {
  expect(nextDaily(crontab, now)).toEqual(at);
});
