import { ageWords, countWords, sizeWords, timeWords } from '../words.ts';
import { type Html, html } from './html.ts';
import type { PageSnapshot } from './model.ts';

const dayMs = 86_400_000;
/** Snapshots that fall on the same place are one mark: a page of thousands of snapshots stays small. */
const places = 125;
const baseline = 40;
const lowest = 5;
const highest = 30;

const ticks: readonly [days: number, label: string][] = [
  [1, '1 day'],
  [7, '1 week'],
  [30.4, '1 month'],
  [91.3, '3 months'],
  [365.25, '1 year'],
  [1096, '3 years'],
  [3652, '10 years'],
];

/** Where an age stands, in percent from the left: the newest on the right, each older day narrower than the one after it. */
export function placeOf(ageDays: number, mostDays: number): number {
  const share = Math.log1p(Math.max(0, ageDays)) / Math.log1p(Math.max(1, mostDays));
  return 98 - 96 * Math.min(1, share);
}

/** How many of all that would go next are drawn as going. */
export const nextShown = 20;

/** A client's snapshots along time. Widths in percent, so that it fits a phone as well as a desk; no text is scaled. */
export function timeline(
  name: string,
  snapshots: readonly PageSnapshot[],
  { now, mostDays }: { now: number; mostDays: number },
): Html {
  const most = Math.max(1, ...snapshots.map(({ newBytes }) => newBytes ?? 0));
  const groups = new Map<number, PageSnapshot[]>();
  for (const snapshot of snapshots) {
    const place = Math.round((placeOf((now - Date.parse(snapshot.at)) / dayMs, mostDays) * places) / 100);
    groups.set(place, [...(groups.get(place) ?? []), snapshot]);
  }
  const marks = [...groups].map(([place, group]) => mark((100 * place) / places, group, most));
  const [oldest] = snapshots;
  const label =
    oldest === undefined
      ? `${name} has no snapshots`
      : `${countWords(snapshots.length, 'snapshot')} of ${name}, the oldest ${ageWords(now - Date.parse(oldest.at))} old`;
  const shownTicks = ticks.filter(([days]) => days <= mostDays * 0.98);
  return html`<svg class="timeline" role="img" aria-label="${label}" width="100%" height="62">
<line class="axis" x1="0" x2="100%" y1="${baseline + 0.5}" y2="${baseline + 0.5}"/>
${shownTicks.map(([days, text]) => {
  const x = placeOf(days, mostDays).toFixed(1);
  return html`<line class="tick" x1="${x}%" x2="${x}%" y1="${baseline}" y2="${baseline + 5}"/><text class="label" x="${x}%" y="${baseline + 17}" text-anchor="middle">${text}</text>`;
})}<text class="label" x="100%" y="${baseline + 17}" text-anchor="end">now</text>
${marks}</svg>`;
}

function mark(x: number, group: readonly PageSnapshot[], most: number): Html {
  const written = Math.max(...group.map(({ newBytes }) => newBytes ?? 0));
  const height = lowest + Math.round((highest - lowest) * (Math.log1p(written / 1e6) / Math.log1p(most / 1e6)));
  const isHeld = group.some(({ held }) => held);
  const isPartial = group.some(({ status }) => status === 'partial');
  const isNext = group.some(({ place }) => place !== null && place <= nextShown);
  const at = `${x.toFixed(1)}%`;
  const kind = isPartial ? 'mark partial' : isNext ? 'mark next' : 'mark';
  const y = baseline - height;
  return html`<g><title>${titleOf(group)}</title><rect class="${kind}" x="${at}" y="${y}" width="4" height="${height}" rx="1"/>${
    isHeld ? html`<text class="sign" x="${at}" y="${y - 2}" dx="2" text-anchor="middle">◆</text>` : null
  }</g>`;
}

function titleOf(group: readonly PageSnapshot[]): string {
  const [first] = group;
  const last = group.at(-1);
  if (first === undefined || last === undefined) return '';
  if (first !== last) {
    const held = group.filter((snapshot) => snapshot.held).length;
    return `${group.length} snapshots, ${first.at.slice(0, 10)} to ${last.at.slice(0, 10)}${held > 0 ? `, ${held} held` : ''}`;
  }
  const written = first.newBytes === null ? '' : `, ${sizeWords(first.newBytes)} new`;
  return `${timeWords(first.at)} UTC${written}${first.status === 'partial' ? ', partial' : ''}: ${first.reason}`;
}
