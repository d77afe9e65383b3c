import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
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

describe('the dashboard', () => {
  interface Place {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  }
  interface Dashboard {
    readonly uid: string;
    readonly schemaVersion: number;
    readonly templating: { readonly list: readonly { readonly name: string; readonly query: unknown }[] };
    readonly panels: readonly {
      readonly id: number;
      readonly title: string;
      readonly type: string;
      readonly gridPos: Place;
      readonly datasource: { readonly type: string; readonly uid: string };
      readonly targets: readonly { readonly refId: string; readonly expr: string }[];
    }[];
  }
  const read = async () => JSON.parse(await readFile(join(monitoring, 'grafana-dashboard.json'), 'utf8')) as Dashboard;

  it('has panels that Grafana can tell apart, and that cover each other nowhere', async () => {
    const { uid, schemaVersion, panels } = await read();
    expect(uid).toMatch(/^[\w-]{1,40}$/);
    expect(schemaVersion).toBeGreaterThanOrEqual(36);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    expect(new Set(panels.map(({ title }) => title)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)} ${y + Math.floor(cell / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    for (const { gridPos, datasource, targets } of panels) {
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
      expect(datasource).toEqual({ type: 'prometheus', uid: expect.stringMatching(/^\$\{datasource\}$/) });
      expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length);
    }
  });

  it('asks what Prometheus understands, with variables that it has', async () => {
    const { panels, templating } = await read();
    const known = new Set(templating.list.map(({ name }) => name));
    const asked = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
    for (const [, name = ''] of JSON.stringify(panels).matchAll(/\$\{?(\w+)\}?/g))
      expect(known.has(name) || name.startsWith('__'), name).toBe(true);
    const records = asked.map((expr, index) => ({ record: `asked:${index}`, expr: expr.replaceAll(/\$\w+/g, '.*') }));
    // Rules are YAML, and JSON is YAML, too.
    const directory = await mkdtemp(join(tmpdir(), 'byteback-dashboard-'));
    const file = join(directory, 'asked.yml');
    await writeFile(file, JSON.stringify({ groups: [{ name: 'dashboard', rules: records }] }));
    const checked = await promtool(['check', 'rules', file]);
    await rm(directory, { recursive: true });
    expect(checked).toMatchObject({ exitCode: 0, text: expect.stringContaining(`${asked.length} rules found`) });
  });
});
