import { BaseCommand, Flags } from '../cli/base-command.ts';
import { type VerifyReport, verifySnapshot } from '../client/restore/verify.ts';
import { loadClientConfig } from '../config/client-config.ts';
import { clientPaths } from '../config/paths.ts';
import { countInWords } from '../output/units.ts';

/** How many names a person is shown. */
const shown = 50;

/** `byteback verify`. */
export class VerifyCommand extends BaseCommand {
  static override description = [
    'Compares a snapshot, the newest by default, with this machine: every file by checksum, owners, modes, times, links and attributes, and what is here and not there. Both sides read everything; nothing is written.',
    'What changed here since the backup began is only counted. What differs although nothing has changed it here is named: exit 3.',
  ].join('\n\n');
  static override examples = [
    { description: 'Is the last backup what this machine holds?', command: '<%= me %>' },
    { description: 'The one of three days ago', command: '<%= me %> --at "3 days ago"' },
  ];
  static override enableJsonFlag = true;
  static override flags = {
    snapshot: Flags.string({
      helpValue: 'NAME',
      description: 'this snapshot; latest is the newest',
      exclusive: ['at'],
    }),
    at: Flags.string({ helpValue: 'TIME', description: 'the newest snapshot of that time or before' }),
  };

  async run(): Promise<VerifyReport> {
    const { flags } = await this.parse(VerifyCommand);
    const { log, clock, signal, env, confirm } = this.deps;
    const paths = clientPaths(env);
    const config = await loadClientConfig(paths);
    const which = {
      ...(flags.snapshot === undefined ? {} : { snapshot: flags.snapshot }),
      ...(flags.at === undefined ? {} : { at: flags.at }),
    };
    const deps = { config, paths, log, clock, signal, confirm, workingDirectory: process.cwd() };
    const report = await verifySnapshot(which, deps);
    for (const { path, why } of report.different.slice(0, shown)) log.warn(`${path}: ${why}`);
    if (report.differences > shown) log.warn(`… and ${report.differences - shown} more`);
    const same = report.differences === 0 ? `${report.snapshot} is what this machine holds` : '';
    const wrong = `${countInWords(report.differences, 'difference')} from ${report.snapshot} that no change here explains`;
    this.print(`${same || wrong}; ${countInWords(report.changedSince, 'change')} since`);
    if (report.status === 'partial') this.endWith('partial');
    return report;
  }
}
