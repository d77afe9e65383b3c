import * as v from 'valibot';
import { expect, test } from 'vitest';
import { EndedRequestSchema } from './messages.ts';

const end = { run: null, status: 'failed', exit: 10, phase: 'run', hooks: [] };

test.each([
  ['2026-12-01T03:00:00.000Z', true],
  ['2026-12-01T03:00:00+01:00', true],
  // It has the form of a time, and no Date takes it: root's helper would fail on it.
  ['2026-12-01T03:00:00+01', false],
  ['now', false],
])('the time %s of an end is taken: %s', (endedAt, isTaken) => {
  expect(v.is(EndedRequestSchema, { ...end, endedAt })).toBe(isTaken);
});
