import type { StoreStatus } from '../fleet.ts';
import { sizeWords } from '../words.ts';
import { type Html, html } from './html.ts';
import type { PageModel } from './model.ts';

const dayMs = 86_400_000;

/** What fills the store now, as one bar, with its figures beside it. */
export function spaceBar(store: StoreStatus): Html {
  const total = Math.max(1, store.totalBytes);
  const used = total - store.freeBytes;
  const history = Math.min(used, store.historyBytes);
  const percent = (bytes: number) => Number(((100 * bytes) / total).toFixed(2));
  const trees = percent(used - history);
  const kept = percent(history);
  const start = 100 - store.pruneBelowPercent;
  return html`<svg class="bar" role="img" width="100%" height="34" aria-label="The store: ${sizeWords(used - history)} newest trees, ${sizeWords(history)} history, ${sizeWords(store.freeBytes)} free">
<rect class="free" x="0" y="4" width="100%" height="22" rx="3"/>
<rect class="trees" x="0" y="4" width="${trees}%" height="22"/>
<rect class="history" x="${trees}%" y="4" width="${kept}%" height="22"/>
<line class="limit" x1="${start}%" x2="${start}%" y1="0" y2="30"/>
</svg>
<dl class="legend">
<div><dt><svg class="swatch" width="12" height="12" aria-hidden="true"><rect class="trees" width="12" height="12" rx="2"/></svg> newest trees</dt><dd>${sizeWords(used - history)}</dd></div>
<div><dt><svg class="swatch" width="12" height="12" aria-hidden="true"><rect class="history" width="12" height="12" rx="2"/></svg> history</dt><dd>${sizeWords(history)}</dd></div>
<div><dt><svg class="swatch" width="12" height="12" aria-hidden="true"><rect class="free" x="0.5" y="0.5" width="11" height="11" rx="2"/></svg> free</dt><dd>${sizeWords(store.freeBytes)}</dd></div>
<div><dt><svg class="swatch" width="12" height="12" aria-hidden="true"><line class="limit" x1="6" x2="6" y1="0" y2="12"/></svg> pruned below</dt><dd>${store.pruneBelowPercent} % free</dd></div>
<div><dt>next day’s backups</dt><dd>about ${sizeWords(store.nextRunsBytes)}</dd></div>
</dl>`;
}

const chartHeight = 120;
/** More points than this are not seen. */
const mostPoints = 400;

/** Used space over time, of it the history; nothing before there are two points. */
export function spaceChart(points: PageModel['space']): Html {
  const shown = sampled(points);
  const [first] = shown;
  const last = shown.at(-1);
  if (first === undefined || last === undefined || first === last) {
    return html`<p class="quiet">How the space was used over time is shown here once there are two days of it.</p>`;
  }
  const begin = Date.parse(first.at);
  const span = Math.max(1, Date.parse(last.at) - begin);
  const most = Math.max(...shown.map(({ totalBytes }) => totalBytes), 1);
  const x = (at: string) => ((1000 * (Date.parse(at) - begin)) / span).toFixed(1);
  const y = (bytes: number) => (chartHeight - (chartHeight * Math.max(0, bytes)) / most).toFixed(1);
  const area = (bytes: (point: (typeof shown)[number]) => number) =>
    `M0 ${chartHeight} ${shown.map((point) => `L${x(point.at)} ${y(bytes(point))}`).join(' ')} L1000 ${chartHeight} Z`;
  const used = area(({ totalBytes, freeBytes }) => totalBytes - freeBytes);
  const trees = area(({ totalBytes, freeBytes, historyBytes }) => Math.max(0, totalBytes - freeBytes - historyBytes));
  const size = shown.map((point, at) => `${at === 0 ? 'M' : 'L'}${x(point.at)} ${y(point.totalBytes)}`).join(' ');
  const usedBytes = (point: (typeof shown)[number]) => point.totalBytes - point.freeBytes;
  const days = Math.round(span / dayMs);
  const label = `Used space over ${days} days: ${sizeWords(usedBytes(first))} at first, ${sizeWords(usedBytes(last))} of ${sizeWords(last.totalBytes)} now`;
  return html`<figure><svg class="chart" role="img" aria-label="${label}" width="100%" height="${chartHeight + 26}">
<svg x="0" y="4" width="100%" height="${chartHeight}" viewBox="0 0 1000 ${chartHeight}" preserveAspectRatio="none">
<path class="history" d="${used}"/><path class="trees" d="${trees}"/><path class="size" d="${size}"/></svg>
<line class="axis" x1="0" x2="100%" y1="${chartHeight + 4.5}" y2="${chartHeight + 4.5}"/>
<text class="label" x="0" y="${chartHeight + 20}">${first.at.slice(0, 10)}</text>
<text class="label" x="100%" y="${chartHeight + 20}" text-anchor="end">${last.at.slice(0, 10)}</text>
</svg><figcaption>Used space over ${days} days: newest trees below, history above; the line is the size of the store, ${sizeWords(last.totalBytes)}.</figcaption></figure>`;
}

function sampled<Point>(points: readonly Point[]): readonly Point[] {
  const step = Math.ceil(points.length / mostPoints);
  if (step <= 1) return points;
  return points.filter((_, at) => at % step === 0 || at === points.length - 1);
}
