import { expect, it } from 'vitest';
import { mayCheckEarly } from './early-check.ts';
import type { LastRun } from './last-run.ts';

const last = (status: LastRun['status']) => ({ status }) as LastRun;

it('is for the usual run, after one that made a snapshot', () => {
  expect(mayCheckEarly({}, last('ok'), [])).toBe(true);
  expect(mayCheckEarly({}, last('partial'), [])).toBe(true);
  expect(mayCheckEarly({}, last('failed'), [])).toBe(false);
  expect(mayCheckEarly({}, undefined, [])).toBe(false);
  expect(mayCheckEarly({ full: true }, last('ok'), [])).toBe(false);
  expect(mayCheckEarly({ dryRun: true }, last('ok'), [])).toBe(false);
  expect(mayCheckEarly({ sources: ['/etc'] }, last('ok'), [])).toBe(false);
  // With these rsync might say nothing of what it sees.
  expect(mayCheckEarly({}, last('ok'), ['-q'])).toBe(false);
});
