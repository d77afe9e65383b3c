import { type Column, table } from '../output/table.ts';
import { countInWords, sizeInWords } from '../output/units.ts';
import type { PruneReport, ToldDecision } from '../server/prune/types.ts';

function freeText(bytes: number, { totalBytes }: PruneReport): string {
  return `${sizeInWords(Math.round(bytes))} (${((100 * bytes) / Math.max(1, totalBytes)).toFixed(1)} %)`;
}

/** What was pruned. Quiet when nothing had to be done: cron would mail it. */
export function runText(report: PruneReport, verbose: boolean): string {
  const { deleted, outcome, why } = report;
  if (outcome === 'busy' || outcome === 'refused') return [`nothing pruned: ${why}`, ...holdersOf(report)].join('\n');
  if (deleted.length === 0 && outcome !== 'short') {
    return verbose ? `nothing to prune: ${freeText(report.freeBytesAfter, report)} free` : '';
  }
  const lines = [
    `pruned ${countInWords(deleted.length, 'snapshot')}: ${freeText(report.freeBytesAfter, report)} free, ${freeText(report.freeBytesBefore, report)} before`,
  ];
  if (outcome === 'short') lines.push(`too little: ${why}`, ...holdersOf(report));
  return lines.join('\n');
}

/** What would be pruned, in which order, and why. */
export function planText(report: PruneReport): string {
  const going = report.decisions.filter(({ verdict }) => verdict === 'pruned');
  const staying = report.decisions.filter(({ verdict }) => verdict === 'kept');
  const free = `${freeText(report.freeBytesBefore, report)} of ${sizeInWords(report.totalBytes)} are free`;
  const lines: string[] = [];
  if (report.mode === 'list') {
    const now =
      report.aimBytes === undefined ? 'nothing has to go now' : `${freeText(report.aimBytes, report)} are wanted`;
    lines.push(`${free}; ${now}.`);
    lines.push(
      going.length === 0
        ? 'Nothing could go.'
        : `In this order snapshots would go when room is needed, the ${report.order === 'age' ? 'oldest' : 'least wanted'} first:\n`,
    );
  } else if (going.length === 0) {
    lines.push(`${free}; nothing is deleted.`);
  } else {
    lines.push(`${free}; ${freeText(report.freeBytesAfter, report)} would be, without these:\n`);
  }
  if (report.why !== undefined)
    lines.unshift(report.outcome === 'refused' ? `Nothing is pruned: ${report.why}.` : `Too little: ${report.why}.`);
  lines.push(...holdersOf(report));
  if (going.length > 0)
    lines.push(
      table(
        going.map((decision, index) => ({ ...decision, index })),
        goingColumns,
      ),
    );
  if (report.mode === 'list' && staying.length > 0) lines.push('These stay:\n', table(staying, stayingColumns));
  else if (staying.length > 0)
    lines.push(
      `${countInWords(staying.length, 'other snapshot')} ${staying.length === 1 ? 'stays' : 'stay'}; all of them, and why: byteback-prune --list`,
    );
  return lines.join('\n');
}

function holdersOf({ holders }: PruneReport): string[] {
  return holders === undefined ? [] : [holders];
}

/** The first of its parts: all of them stand in the log and in --json; a screen has 80 columns. */
function shortReason({ reason }: ToldDecision): string {
  return reason.split('; ')[0] ?? '';
}

const goingColumns: readonly Column<ToldDecision & { index: number }>[] = [
  { title: '#', text: ({ index }) => String(index + 1), align: 'right' },
  { title: 'client', text: ({ client }) => client },
  { title: 'snapshot', text: ({ snapshot }) => snapshot },
  { title: 'frees', text: ({ freesBytes }) => `~${sizeInWords(freesBytes)}`, align: 'right' },
  { title: 'why', text: shortReason },
];

const stayingColumns: readonly Column<ToldDecision>[] = [
  { title: 'client', text: ({ client }) => client },
  { title: 'snapshot', text: ({ snapshot }) => snapshot },
  { title: 'why', text: shortReason },
];
