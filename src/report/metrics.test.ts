import { describe, expect, test } from 'vitest';
import { exampleFleet } from '../../test/helpers/example-fleet.ts';
import { metricsText } from './metrics.ts';

const { status } = exampleFleet();
const text = metricsText(status, { version: '1.2.3' });

describe('metrics', () => {
  test('each has its help and type before its samples, once, and no time', () => {
    const seen = new Set<string>();
    let current = '';
    for (const line of text.trimEnd().split('\n')) {
      const [, help] = /^# HELP (byteback_[a-z_]+) \S/.exec(line) ?? [];
      if (help !== undefined) {
        expect(seen.has(help)).toBe(false);
        seen.add(help);
        current = help;
      } else if (line.startsWith('# TYPE ')) expect(line).toBe(`# TYPE ${current} gauge`);
      else expect(line).toMatch(new RegExp(`^${current}(\\{[^}]*\\})? -?[0-9.e+]+$`));
    }
    expect(seen.size).toBeGreaterThan(20);
    expect(text.endsWith('\n')).toBe(true);
  });

  test('are named by their base unit', () => {
    for (const [, name = ''] of text.matchAll(/^# TYPE (\S+)/gm)) {
      if (/(time|interval|duration)/.test(name)) expect(name).toMatch(/_seconds$/);
      expect(name).not.toMatch(/_(ms|mb|kb|percent|total|count)$/);
    }
  });

  test('say what the status says', () => {
    expect(text).toContain('byteback_build_info{version="1.2.3"} 1\n');
    expect(text).toContain('byteback_client_overdue{client="laptop-anna"} 1\n');
    expect(text).toContain('byteback_client_overdue{client="web1.example.net"} 0\n');
    expect(text).toContain('byteback_client_registered{client="old-shop"} 0\n');
    expect(text).toContain('byteback_alerts{severity="critical"} 2\n');
    expect(text).not.toContain('byteback_client_restore_proven_timestamp_seconds{client="ci.example.net"}');
  });

  test('escape what stands in a label, and survive figures that are none', () => {
    const [client] = status.clients;
    if (client === undefined) throw new Error('there are clients');
    const odd = metricsText(
      {
        ...status,
        clients: [{ ...client, name: 'a"b\\c\nd' as typeof client.name, historyBytes: Number.POSITIVE_INFINITY }],
      },
      { version: '1' },
    );
    expect(odd).toContain('byteback_client_history_bytes{client="a\\"b\\\\c\\nd"} +Inf\n');
  });
});
