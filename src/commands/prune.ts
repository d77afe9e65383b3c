import { BaseCommand, Flags } from '../cli/base-command.ts';
import { serverPaths } from '../config/paths.ts';
import { parsePercent, parseSize, sizeForm } from '../config/units.ts';
import { BytebackError } from '../errors.ts';
import { countInWords } from '../output/units.ts';
import { openServer } from '../server/open-server.ts';
import { mendFuture, planFuture } from '../server/prune/future.ts';
import { prune } from '../server/prune/prune.ts';
import type { PruneOptions, PruneReport } from '../server/prune/types.ts';
import { statusSources } from '../server/status.ts';
import { refreshReports } from '../server/status-refresh.ts';
import { planText, runText } from './prune-text.ts';

/** `byteback-prune`. */
export class PruneCommand extends BaseCommand {
  static override description = [
    'Deletes snapshots when the store is nearly full, the least important ones first, until there is room again. With room enough it does nothing: whatever fits is kept. A timer runs it, and so does each backup when it is done; nobody has to.',
    'Never deleted are held snapshots, the newest three of each client, and what a keep rule in server.toml protects; and for a day, what is being restored, compared or searched. The client with the most history for its share pays first.',
  ].join('\n\n');
  static override examples = [
    { description: 'What would go first, and why', command: '<%= me %> --list' },
    { description: 'What would be deleted now', command: '<%= me %> --dry-run' },
    { description: 'After the clock was wrong', command: '<%= me %> --future' },
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
    future: Flags.boolean({
      description:
        'after the clock was wrong: list the snapshots that bear a time to come, ask, and give them names of the past; nothing is deleted',
      exclusive: ['list', 'dry-run', 'free', 'confirm'],
    }),
    yes: Flags.boolean({ char: 'y', description: 'with --future: do not ask', dependsOn: ['future'] }),
    confirm: Flags.boolean({
      description: 'go on although changed settings delete more than a tenth of all snapshots, or the clock jumped',
    }),
  };

  async #mendFuture(isAnswered: boolean) {
    const { log, clock, confirm } = this.deps;
    const { store, config } = await openServer(clock);
    const { renamings, originals } = await planFuture(store, clock.now());
    for (const { client, from, to } of renamings) this.print(`${client}: ${from} becomes ${to}`);
    for (const { client, name, directory } of originals) {
      log.warn(`${client} ${name}: a snapshot of the original's; rename it by hand in ${directory}`);
    }
    if (renamings.length === 0) {
      this.print('no snapshot bears a time to come');
      return { renamed: [] };
    }
    const now = clock.now().toISOString().slice(0, 19);
    const question = `It is ${now} UTC now, is that right? Then ${countInWords(renamings.length, 'snapshot')} will be renamed so.`;
    if (!isAnswered && !(await confirm(question))) {
      throw new BytebackError('refused', { what: 'nothing is renamed', why: 'the answer was no' });
    }
    await mendFuture(renamings, { store, clock, log });
    await refreshReports({ config, store, registryFile: serverPaths.authorizedKeys }, { clock, log });
    this.print(`${countInWords(renamings.length, 'snapshot')} renamed; pruning goes by the clock again`);
    return { renamed: renamings };
  }

  /** Whatever becomes of it, page and metrics tell how the store is. */
  async #prune(options: PruneOptions): Promise<PruneReport> {
    const { log, clock } = this.deps;
    try {
      const { config, store } = await openServer(clock);
      return await prune(options, { config, store, clock, log });
    } finally {
      if (options.mode === 'run' && process.getuid?.() === 0) {
        const sources = await statusSources().catch(() => undefined);
        if (sources !== undefined) await refreshReports(sources, { clock, log });
      }
    }
  }

  async run() {
    const { flags } = await this.parse(PruneCommand);
    if (flags.future) return await this.#mendFuture(flags.yes);
    const mode = flags.list ? 'list' : flags['dry-run'] ? 'dry-run' : 'run';
    const order = flags.order === 'age' ? 'age' : 'importance';
    const freeTarget = flags.free === undefined ? undefined : parseTarget(flags.free);
    const options = {
      mode,
      order,
      confirm: flags.confirm,
      ...(freeTarget === undefined ? {} : { freeTarget }),
    } as const;
    const report = await this.#prune(options);
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
