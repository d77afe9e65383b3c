import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { metricsText } from '../../src/report/metrics.ts';
import { exampleFleet, hostileFleet } from '../helpers/example-fleet.ts';

// What byteback writes for Prometheus, judged by Prometheus' own tool.
const monitoring = join(import.meta.dirname, '../../docs/monitoring');

async function promtool(argv: string[], input = ''): Promise<{ exitCode: number; text: string }> {
  const running = promisify(execFile)('promtool', argv, { cwd: monitoring });
  running.child.stdin?.end(input);
  return await running.then(
    ({ stdout, stderr }) => ({ exitCode: 0, text: stdout + stderr }),
    (error: { code: number; stdout: string; stderr: string }) => ({
      exitCode: error.code,
      text: error.stdout + error.stderr,
    }),
  );
}

describe('promtool', () => {
  it.each([
    ['a usual fleet', exampleFleet()],
    ['hostile names', hostileFleet()],
  ])('finds nothing to say of the metrics of %s', async (_, { status }) => {
    expect(await promtool(['check', 'metrics'], metricsText(status, { version: '0.1.0' }))).toEqual({
      exitCode: 0,
      text: '',
    });
  });

  it('accepts the alert rules, and they fire when they should', async () => {
    const checked = await promtool(['check', 'rules', 'byteback.rules.yml']);
    expect(checked.text).toContain('SUCCESS: 8 rules found');
    expect(checked.exitCode).toBe(0);
    const tested = await promtool(['test', 'rules', 'byteback.rules.test.yml']);
    expect(tested.text).toContain('SUCCESS');
    expect(tested.exitCode).toBe(0);
  });
});

it('the rules, the dashboard and the documentation speak of metrics that there are', async () => {
  const written = metricsText(exampleFleet().status, { version: '0.1.0' });
  const names = new Set([...written.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  for (const file of ['byteback.rules.yml', 'grafana-dashboard.json']) {
    const text = await readFile(join(monitoring, file), 'utf8');
    const used = [...text.matchAll(/\bbyteback_[a-z_]+/g)].map(([name]) => name);
    expect(used.length).toBeGreaterThan(5);
    expect(used.filter((name) => !names.has(name))).toEqual([]);
  }
});
