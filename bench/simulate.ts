/**
 * Feeds the real planner with years of backups on a model of a disk, and counts every promise that it breaks.
 *
 *   npm run simulate -- [--trace FILE] [--json] [--svg FILE] [--admin-days N] [--years N] [--clients N] [--seed N]
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { draw } from './simulate/draw.ts';
import { generateTrace } from './simulate/generate.ts';
import { defaultSettings, type Outcome, simulate } from './simulate/simulate.ts';
import { readTrace } from './simulate/trace.ts';

const { values } = parseArgs({
  options: {
    trace: { type: 'string' },
    json: { type: 'boolean', default: false },
    svg: { type: 'string' },
    'admin-days': { type: 'string', default: String(defaultSettings.adminDays) },
    years: { type: 'string', default: '10' },
    clients: { type: 'string', default: '50' },
    seed: { type: 'string', default: '1' },
  },
});

const settings = { ...defaultSettings, adminDays: Number(values['admin-days']) };
const begin = performance.now();
const trace =
  values.trace === undefined
    ? generateTrace({ years: Number(values.years), clients: Number(values.clients), seed: Number(values.seed) })
    : await readTrace(values.trace);
const outcome = simulate(trace, settings);
const svgFile = values.svg ?? 'simulate.svg';
await writeFile(svgFile, draw(outcome, settings));
const seconds = (performance.now() - begin) / 1000;
const broken = brokenPromises(outcome);

if (values.json) {
  console.log(JSON.stringify(asJson(outcome), undefined, 2));
} else {
  console.log(asText(outcome));
}
process.exitCode = Object.values(broken).some((count) => count > 0) ? 1 : 0;

/** How often each promise was broken: all 0 is what is promised. */
function brokenPromises(result: Outcome) {
  return {
    out_of_space: result.outOfSpace,
    fewer_than_keep_last: result.minSnapshots < settings.keepLast ? 1 : 0,
    unfair_evictions: result.unfairEvictions,
    held_evictions: result.heldEvictions,
    days_below_85_percent_used: result.daysBelow85,
  };
}

function asJson(result: Outcome) {
  const round = (value: number) => Math.round(value * 100) / 100;
  return {
    days: result.days,
    clients: result.historyDays.size,
    min_free_pct: round(result.minFreePercent),
    min_snapshots: result.minSnapshots,
    unfair_evictions: result.unfairEvictions,
    median_used_pct: round(result.medianUsedPercent),
    history_days: Object.fromEntries(result.historyDays),
    snapshots: Object.fromEntries(result.snapshots),
    filled_on_day: result.filledOnDay ?? null,
    evictions: result.evictions,
    evictions_for_own_run: result.ownDemandEvictions,
    refused: result.incidents.filter(({ kind }) => kind !== 'destructive'),
    destructive: result.incidents.filter(({ kind }) => kind === 'destructive'),
    broken_promises: broken,
    svg: svgFile,
    seconds: round(seconds),
  };
}

function asText(result: Outcome): string {
  const lines = [
    `${result.days} days of ${result.historyDays.size} clients, ${result.evictions.toLocaleString('en')} snapshots pruned, in ${seconds.toFixed(1)} s`,
    '',
    result.filledOnDay === undefined
      ? 'The disk never filled.'
      : `The disk was full on day ${result.filledOnDay}; from then on ${result.medianUsedPercent.toFixed(1)} % of it were used (median).`,
    `Never less than ${result.minFreePercent.toFixed(1)} % free; never fewer than ${result.minSnapshots} snapshots of a client.`,
    '',
    'Broken promises:',
    ...Object.entries(broken).map(
      ([promise, count]) => `  ${String(count).padStart(5)}  ${promise.replaceAll('_', ' ')}`,
    ),
    '',
    'History at the end, in days (snapshots):',
    ...inColumns(
      [...result.historyDays].map(
        ([client, days]) => `${client} ${String(days).padStart(5)} (${result.snapshots.get(client)})`,
      ),
    ),
    '',
  ];
  const count = (kind: string) => result.incidents.filter((incident) => incident.kind === kind).length;
  lines.push(
    `Runs refused: ${count('too-large')} suddenly much larger, ${count('no-room')} for want of room.`,
    `Runs that looked like a disaster (taken, the last good snapshot held): ${count('destructive')}.`,
    `Drawn in ${svgFile}.`,
  );
  return lines.join('\n');
}

function inColumns(cells: readonly string[]): string[] {
  const lines: string[] = [];
  for (let at = 0; at < cells.length; at += 4) {
    lines.push(
      `  ${cells
        .slice(at, at + 4)
        .map((cell) => cell.padEnd(18))
        .join('')}`.trimEnd(),
    );
  }
  return lines;
}
