import { BaseCommand, durationMs, Flags, repeated } from '../cli/base-command.ts';
import { withCalls } from '../client/own-hooks.ts';
import { type RunReport, runBackup } from '../client/run-backup.ts';
import { recallServer } from '../client/server-says.ts';
import { loadClientConfig } from '../config/client-config.ts';
import { clientPaths } from '../config/paths.ts';
import { BytebackError } from '../errors.ts';
import { countInWords, durationInWords, sizeInWords } from '../output/units.ts';

/** What rsync takes for --bwlimit; the same as in client.toml. */
const bandwidthPattern = /^\d{1,9}(?:\.\d{1,3})?[KMGkmg]?(?:i?[Bb])?$/;

/** `byteback-backup`. */
export class BackupCommand extends BaseCommand {
  static override description =
    'Sends what changed since the last run, and has the server take a read-only snapshot of it. Says nothing when all went ' +
    'well, so that cron mails only what needs a person; a snapshot exists only of a run that completed.';
  static override examples = [
    { description: 'Everything that client.toml says, and what is done', command: '<%= me %> --verbose' },
    {
      description: 'Only one directory, now; the rest stays on the server as it is',
      command: '<%= me %> --source /srv/www',
    },
    { description: 'What would be copied and what is left out', command: '<%= me %> --dry-run --verbose' },
  ];
  static override enableJsonFlag = true;
  static override flags = {
    source: repeated({
      char: 's',
      helpValue: 'PATH',
      description: 'copy only this instead of the configured sources; nothing outside it is deleted on the server',
    }),
    exclude: repeated({
      char: 'x',
      helpValue: 'PATTERN',
      description: "leave out what this pattern matches, in rsync's own syntax; after the configured ones",
    }),
    'forget-mount': repeated({
      helpValue: 'PATH',
      description: 'nothing is mounted there any more, and that is meant: copy what lies there now',
    }),
    'dry-run': Flags.boolean({ char: 'n', description: 'decide and scan, but send nothing' }),
    full: Flags.boolean({ description: 'look at every file on both sides, whatever is recorded of the last run' }),
    'retry-number': Flags.integer({
      min: 0,
      max: 1000,
      helpValue: 'N',
      description: 'attempts after the first; the count starts anew when bytes moved (default 5)',
    }),
    'retry-delay': durationMs({ description: 'time between two attempts (default 10m)' }),
    'io-timeout': durationMs({ description: 'give up an attempt when nothing moves for this long (default 1h)' }),
    bwlimit: Flags.string({ helpValue: 'RATE', description: 'send no faster, in KiB a second or with a unit: 5M' }),
  };

  async run() {
    const { flags } = await this.parse(BackupCommand);
    const { log, clock, signal, env } = this.deps;
    const paths = clientPaths(env);
    const { bwlimit } = flags;
    if (bwlimit !== undefined && !bandwidthPattern.test(bwlimit)) {
      throw new BytebackError('usage', {
        what: `no rate: ${JSON.stringify(bwlimit)}`,
        why: "it must be as rsync has it: KiB a second, or a number with a unit, such as '5M'",
      });
    }
    const config = await loadClientConfig(paths);
    // Until the server gives out the run, lines of the journal have at least the name.
    log.about?.({ client: (await recallServer(paths.stateDir)).client });
    const act = () =>
      runBackup(
        {
          ...(flags.source === undefined ? {} : { sources: flags.source }),
          ...(flags.exclude === undefined ? {} : { excludes: flags.exclude }),
          ...(flags['forget-mount'] === undefined ? {} : { forgetMounts: flags['forget-mount'] }),
          dryRun: flags['dry-run'],
          full: flags.full,
          ...(flags['retry-number'] === undefined ? {} : { retryNumber: flags['retry-number'] }),
          ...(flags['retry-delay'] === undefined ? {} : { retryDelayMs: flags['retry-delay'] }),
          ...(flags['io-timeout'] === undefined ? {} : { ioTimeoutMs: flags['io-timeout'] }),
          ...(bwlimit === undefined ? {} : { bwlimit }),
        },
        { config, paths, log, clock, signal, version: this.config.version, workingDirectory: process.cwd() },
      );
    const report = flags['dry-run'] ? await act() : await withCalls(config, log, act);
    log.step(summaryOf(report));
    for (const { path, sentBytes, newBytes } of report.grew) {
      log.info(`grew ${path}: ${sizeInWords(newBytes)} new, ${sizeInWords(sentBytes)} sent`);
    }
    if (report.dryRun) this.print(dryRunText(report));
    if (report.hooks.some(({ exitCode }) => exitCode !== 0)) this.endWith('partial');
    if (report.status === 'partial') {
      for (const { path, why } of report.unread.slice(0, 20)) log.warn(`not copied: ${path}: ${why}`);
      if (report.unread.length > 20) log.warn(`not copied: ${report.unread.length - 20} more`);
      log.warn(`snapshot ${report.snapshot} is partial`);
      this.endWith('partial');
    }
    return report;
  }
}

function summaryOf({ figures, deletedFiles, dryRun }: RunReport): string {
  const found = `${countInWords(figures.files, 'file')}, ${sizeInWords(figures.totalBytes)}`;
  if (dryRun) return `found ${found}`;
  const sent = `sent ${countInWords(figures.sentFiles, 'file')}, ${sizeInWords(figures.sentBytes)} (${sizeInWords(figures.wireBytes)} on the wire)`;
  const deleted = deletedFiles === 0 ? '' : `, deleted ${countInWords(deletedFiles, 'file')}`;
  return `${sent}${deleted}; found ${found}; took ${durationInWords(figures.durationMs)}`;
}

function dryRunText(report: RunReport): string {
  return [
    `would copy ${report.sources.join(' ')} to ${report.destination}`,
    `${countInWords(report.figures.files, 'file')}, ${sizeInWords(report.figures.totalBytes)}; what the server has already is not sent again`,
    ...report.excluded.map(({ path, why }) => `leaves out ${path}: ${why}`),
  ].join('\n');
}
