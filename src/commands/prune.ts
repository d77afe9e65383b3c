import { BaseCommand, Flags } from '../cli/base-command.ts';
import { serverPaths } from '../config/paths.ts';
import { parsePercent, parseSize, sizeForm } from '../config/units.ts';
import { BytebackError } from '../errors.ts';
import { type Column, table } from '../output/table.ts';
import { countInWords, sizeInWords } from '../output/units.ts';
import { openServer } from '../server/open-server.ts';
import { prune } from '../server/prune/prune.ts';
import type { PruneReport, ToldDecision } from '../server/prune/types.ts';
import { refreshReports } from '../server/status-refresh.ts';

/** `byteback-prune`. */
export class PruneCommand extends BaseCommand {
  static override description = [
    'Deletes snapshots when the store is nearly full, the least important ones first, until there is room again. With room enough it does nothing: whatever fits is kept. A timer runs it, and so does each backup when it is done; nobody has to.',
    'Never deleted are held snapshots, the newest three of each client, and what a keep rule in server.toml protects. The client with the most history for its share pays first.',
  ].join('\n\n');
  static override examples = [
    { description: 'What would go first, and why', command: '<%= me %> --list' },
    { description: 'What would be deleted now', command: '<%= me %> --dry-run' },
    { description: 'Make room now: until a fifth of the store is free', command: '<%= me %> --free 20%' },
  ];
  static override enableJsonFlag = true;
  static override flags = {
    list: Flags.boolean({
      description: 'show all snapshots in the order in which they would go, with reasons; delete nothing',
      exclusive: ['dry-run', 'confirm'],
    }),
    'dry-run': Flags.boolean({ description: 'show what would be deleted now; delete nothing' }),
    order: Flags.string({
      options: ['importance', 'age'],
      default: 'importance',
      helpValue: 'ORDER',
      description: 'what goes first: importance (of the days, Sundays and fourth Sundays), or age alone',
    }),
    free: Flags.string({
      helpValue: 'SIZE|PCT',
      description: 'free space to reach, such as 20G or 15%, instead of what server.toml says',
    }),
    confirm: Flags.boolean({
      description: 'go on although changed settings delete more than a tenth of all snapshots, or the clock jumped',
    }),
  };

  async run() {
    const { flags } = await this.parse(PruneCommand);
    const mode = flags.list ? 'list' : flags['dry-run'] ? 'dry-run' : 'run';
    const order = flags.order === 'age' ? 'age' : 'importance';
    const freeTarget = flags.free === undefined ? undefined : parseTarget(flags.free);
    const { log, clock } = this.deps;
    const { config, store } = await openServer(clock);
    const report = await prune(
      { mode, order, confirm: flags.confirm, ...(freeTarget === undefined ? {} : { freeTarget }) },
      { config, store, clock, log },
    );
    if (mode === 'run')
      await refreshReports({ config, store, registryFile: serverPaths.authorizedKeys }, { clock, log });
    this.print(mode === 'run' ? runText(report, flags.verbose) : planText(report));
    if (report.outcome === 'busy') this.endWith('locked');
    if (report.outcome === 'refused') this.endWith('refused');
    if (report.outcome === 'short') this.endWith('storeFull');
    return report;
  }
}

function parseTarget(text: string): number | { percent: number } {
  const percent = parsePercent(text);
  if (percent !== undefined) return { percent };
  const size = parseSize(text);
  if (size !== undefined) return size;
  throw new BytebackError('usage', {
    what: `no size and no percentage: ${JSON.stringify(text)}`,
    why: `it must be a percentage such as 15%, or ${sizeForm}`,
  });
}

function freeText(bytes: number, { totalBytes }: PruneReport): string {
  return `${sizeInWords(Math.round(bytes))} (${((100 * bytes) / Math.max(1, totalBytes)).toFixed(1)} %)`;
}

/** Quiet when nothing had to be done: cron would mail it. */
function runText(report: PruneReport, verbose: boolean): string {
  const { deleted, outcome, why } = report;
  if (outcome === 'busy' || outcome === 'refused') return `nothing pruned: ${why}`;
  if (deleted.length === 0 && outcome !== 'short') {
    return verbose ? `nothing to prune: ${freeText(report.freeBytesAfter, report)} free` : '';
  }
  const lines = [
    `pruned ${countInWords(deleted.length, 'snapshot')}: ${freeText(report.freeBytesAfter, report)} free, ${freeText(report.freeBytesBefore, report)} before`,
  ];
  if (outcome === 'short') lines.push(`too little: ${why}`);
  return lines.join('\n');
}

function planText(report: PruneReport): string {
  const going = report.decisions.filter(({ verdict }) => verdict === 'pruned');
  const staying = report.decisions.filter(({ verdict }) => verdict === 'kept');
  const free = `${freeText(report.freeBytesBefore, report)} of ${sizeInWords(report.totalBytes)} are free`;
  const lines: string[] = [];
  if (report.mode === 'list') {
    const now =
      report.aimBytes === undefined ? 'nothing has to go now' : `${freeText(report.aimBytes, report)} are wanted`;
    lines.push(`${free}; ${now}.`);
    lines.push(going.length === 0 ? 'Nothing could go.' : `In this order snapshots would go, when room is needed:\n`);
  } else if (going.length === 0) {
    lines.push(`${free}; nothing is deleted.`);
  } else {
    lines.push(`${free}; ${freeText(report.freeBytesAfter, report)} would be, without these:\n`);
  }
  if (report.why !== undefined)
    lines.unshift(report.outcome === 'refused' ? `Nothing is pruned: ${report.why}.` : `Too little: ${report.why}.`);
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

/** What is said of the client's share stands in the log and in --json; a screen has 80 columns. */
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
  { title: 'why', text: ({ reason }) => reason },
];
