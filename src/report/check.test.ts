import { describe, expect, test } from 'vitest';
import { exampleFleet } from '../../test/helpers/example-fleet.ts';
import { checkClient, checkFailed, checkServer, worse } from './check.ts';

const { status } = exampleFleet();
const well = { ...status, alerts: [] };

describe('a server', () => {
  test('that is well is ok, in words of its own, with figures', () => {
    const { state, line } = checkServer(well);
    expect(state).toBe('ok');
    expect(line).toMatch(
      /^BYTEBACK OK - 10 clients, full of history: 90 % used as intended, next backups fit \| used=\d+B;;;0;\d+ clients=10;;;0 /,
    );
    expect(line).toContain(' overdue=1;;;0 ');
  });

  test('is as bad as its worst alert, which is named first', () => {
    expect(checkServer(status)).toMatchObject({
      state: 'critical',
      line: expect.stringMatching(/^BYTEBACK CRITICAL - laptop-anna: no backup for 9 days; 1 more \| /),
    });
    const alerts = [{ id: 'x', level: 'warning', client: null, what: 'a | b\nc', fix: null }] as const;
    expect(checkServer({ ...well, alerts: [...alerts] })).toMatchObject({
      state: 'warning',
      line: expect.stringMatching(/^BYTEBACK WARNING - a \/ b c \| used=[^|\n]*$/),
    });
  });
});

test.each([
  [
    'well',
    { overdue: false, lastStatus: 'ok', lastError: null, ageMs: 7_200_000 },
    'BYTEBACK OK - last backup 2 h ago | age=7200s;;;0',
  ],
  [
    'partial',
    { overdue: false, lastStatus: 'partial', lastError: null, ageMs: 0 },
    'BYTEBACK WARNING - last backup 0 h ago, some files could not be read | age=0s;;;0',
  ],
  [
    'a failed run, but a new snapshot',
    { overdue: false, lastStatus: 'failed', lastError: 'cannot reach it', ageMs: 3_600_000 },
    'BYTEBACK WARNING - last backup 1 h ago, the last run failed: cannot reach it | age=3600s;;;0',
  ],
  ['never', { overdue: true, lastStatus: null, lastError: null, ageMs: null }, 'BYTEBACK CRITICAL - no backup yet'],
] as const)('a client: %s', (_, facts, line) => {
  expect(checkClient(facts).line).toBe(line);
});

test('a machine that is both is as bad as the worse', () => {
  const own = checkClient({ overdue: true, lastStatus: null, lastError: null, ageMs: null });
  const both = worse(checkServer(well), own);
  expect(both.state).toBe('critical');
  expect(both.line).toMatch(/^BYTEBACK CRITICAL - no backup yet; 10 clients, .* \| used=/);
});

test('what could not be found out is unknown', () => {
  expect(checkFailed('only root\nmay look')).toEqual({
    state: 'unknown',
    line: 'BYTEBACK UNKNOWN - only root may look',
  });
});
