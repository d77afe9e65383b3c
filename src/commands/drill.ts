import { BaseCommand } from '../cli/base-command.ts';
import { type DrillReport, runDrill } from '../client/restore/drill.ts';
import { loadClientConfig } from '../config/client-config.ts';
import { clientPaths } from '../config/paths.ts';
import { countInWords, sizeInWords } from '../output/units.ts';

/** `byteback drill`. */
export class DrillCommand extends BaseCommand {
  static override description = [
    'A restore drill: the server draws up to 50 files of the newest snapshot by lot, and compares their checksums with those of the originals on this machine that have not changed since. They also go through a restore that writes nothing.',
    'When all that are unchanged are equal, and these are at least half of the files and a tenth of the bytes that were drawn, the server remembers this machine as proven restorable: byteback status shows since when. A file that differs, or that the store cannot read, is named here and is an event on the server: exit 3. Where too much has changed since the snapshot to prove anything, that is said, and the exit is 3 as well: make a backup, then drill again. A timer runs it every week.',
  ].join('\n\n');
  static override examples = [
    { description: 'Would a restore bring back what is here?', command: '<%= me %> --verbose' },
  ];
  static override enableJsonFlag = true;

  async run(): Promise<DrillReport> {
    await this.parse(DrillCommand);
    const { log, clock, signal, env, confirm } = this.deps;
    const paths = clientPaths(env);
    const config = await loadClientConfig(paths);
    const report = await runDrill({ config, paths, log, clock, signal, confirm, workingDirectory: process.cwd() });
    for (const { path, why } of report.failed) log.warn(`${path}: ${why}`);
    const changed = report.changed === 0 ? '' : `; ${countInWords(report.changed, 'other')} changed since`;
    this.print(
      `${countInWords(report.files, 'file')} (${sizeInWords(report.bytes)}) of ${report.snapshot} equal to the originals here${changed}`,
    );
    if (report.proven === false) log.warn(`this proves nothing: ${report.why ?? 'the server does not say why'}`);
    if (report.status === 'partial') this.endWith('partial');
    return report;
  }
}
