import { describe, expect, test } from 'vitest';
import { exampleFleet, hostileFleet } from '../../test/helpers/example-fleet.ts';
import { widthOf } from '../output/table.ts';
import { serverText } from './status-text.ts';

const { status } = exampleFleet();
const longNames = {
  ...status,
  clients: status.clients.map((client) => ({
    ...client,
    name: `${'x'.repeat(60)}.${client.name}` as typeof client.name,
  })),
};

describe('the status of a server', () => {
  test.each([
    ['a usual fleet', status],
    ['long names', longNames],
  ])('fits a terminal of 80 columns: %s', (_, shown) => {
    const tooLong = serverText(shown, 80)
      .split('\n')
      .filter((line) => widthOf(line) > 80);
    expect(tooLong).toEqual([]);
  });

  test('is whole where it goes to a program: nothing cut, an alert a line', () => {
    const text = serverText(longNames, Number.POSITIVE_INFINITY);
    for (const { name } of longNames.clients) expect(text).toContain(name);
    expect(text.split('\n').filter((line) => /^(CRITICAL|warning )/.test(line))).toHaveLength(status.alerts.length);
  });

  test('says what is to be looked at first, and how far a transfer is', () => {
    const text = serverText(status, 80);
    expect(text).toMatch(/^\/byteback: full of history: \d+ % used as intended, next backups fit\n/);
    expect(text).toMatch(/^db1\.example\.net sends +55 % +1\.72 GiB of 3\.1 GiB/m);
    expect(text.indexOf('CRITICAL')).toBeLessThan(text.indexOf('CLIENT '));
    expect(text).toMatch(/^laptop-anna .* OVERDUE$/m);
    expect(text).toMatch(/^files\.example\.net .* 3 unread$/m);
  });

  test('of no clients says how to begin', () => {
    expect(serverText({ ...status, clients: [], alerts: [] }, 80)).toContain('byteback client invite NAME');
  });

  test('of hostile names keeps its lines', () => {
    const rows = serverText(hostileFleet().status, Number.POSITIVE_INFINITY).split('\n');
    expect(
      rows.slice(rows.findIndex((row) => row.startsWith('CLIENT'))).filter((row) => row !== '').length,
    ).toBeGreaterThan(10);
  });
});
