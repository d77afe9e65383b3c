import { expect, test } from 'vitest';
import { isOverdue } from './status.ts';

const hour = 3_600_000;
const daily = Array.from({ length: 20 }, (_, day) => day * 24 * hour);
const newest = daily.at(-1) ?? 0;

test.each([
  ['nothing yet', [], newest, false],
  ['one snapshot, a day later', [newest], newest + 25 * hour, false],
  ['one snapshot, two days later', [newest], newest + 48 * hour, true],
  ['daily, a day later', daily, newest + 25 * hour, false],
  ['daily, a night was missed', daily, newest + 47 * hour, false],
  ['daily, two nights were missed', daily, newest + 49 * hour, true],
  ['hourly, a machine that is off at night', daily.map((time) => time / 24), newest / 24 + 20 * hour, false],
  ['weekly, ten days later', daily.map((time) => time * 7), newest * 7 + 240 * hour, false],
  ['weekly, fifteen days later', daily.map((time) => time * 7), newest * 7 + 360 * hour, true],
  ['expected hourly, three hours later', daily, newest + 3 * hour, true, hour],
  ['expected weekly, two days later', daily, newest + 49 * hour, false, 168 * hour],
  ['nothing is expected', daily, newest + 4900 * hour, false, null],
  ['registered a day ago, and nothing yet', [], newest + 25 * hour, false, undefined, newest],
  ['registered two days ago, and nothing yet', [], newest + 48 * hour, true, undefined, newest],
  ['registered long ago, and nothing is expected', [], newest + 4900 * hour, false, null, newest],
])('%s', (_, times, now, overdue, expectMs?: number | null, registeredMs?: number) => {
  expect(isOverdue(times, now, expectMs, registeredMs)).toBe(overdue);
});
