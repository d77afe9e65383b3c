import { BaseCommand, Flags } from '../cli/base-command.ts';
import { type ListedVersion, type Listing, listingOf, takenAt } from '../client/restore/listing.ts';
import { momentForm } from '../client/restore/moment.ts';
import { type RestoreReport, restoreFiles } from '../client/restore/restore-files.ts';
import { listSnapshots, listVersions, openRestoreSession, type RestoreDeps } from '../client/restore/versions.ts';
import { loadClientConfig } from '../config/client-config.ts';
import { clientPaths } from '../config/paths.ts';
import { BytebackError } from '../errors.ts';
import { modeInWords, ownerInWords } from '../output/file-attributes.ts';
import { table } from '../output/table.ts';
import { countInWords, sizeInWords, timeInWords } from '../output/units.ts';
import type { SnapshotEntry } from '../protocol/messages.ts';
import { localNames } from '../system/accounts.ts';

/** `byteback-restore`. */
export class RestoreCommand extends BaseCommand {
  static override description = [
    'Without --restore, lists the newest version of each path, or with --all every different one. With --restore, brings it back: into a directory named like the snapshot, below the working directory, unless --to or --in-place says otherwise. Each path keeps its whole name there: /etc/hosts becomes ./SNAPSHOT/etc/hosts.',
    'Paths that are relative count from the working directory. A name that is no text is written as the listing prints it.',
    `A time for --at is local and may be written as ${momentForm}; it means the newest snapshot that is not younger.`,
    'What was restored is compared with the server by checksums, unless --no-verify is given. A restore that was cut goes on when the same command is given again.',
  ].join('\n\n');
  static override examples = [
    { description: 'Every different version of a file', command: '<%= me %> --all /etc/hosts' },
    {
      description: 'A directory as it was three days ago, beside the present one',
      command: '<%= me %> --restore --at "3 days ago" /srv/www',
    },
    {
      description: 'A file, to where it was; what it replaces is kept beside it',
      command: '<%= me %> --restore --in-place /etc/hosts',
    },
    { description: 'The whole machine, to a new disk', command: '<%= me %> --restore --all-files --to /mnt/target' },
  ];
  static override enableJsonFlag = true;
  static override strict = false;
  static override operands = '[PATH]...';
  static override flags = {
    restore: Flags.boolean({ char: 'r', description: 'bring it back, instead of listing it' }),
    snapshot: Flags.string({
      helpValue: 'NAME',
      description: 'from this snapshot; latest is the newest',
      exclusive: ['at', 'all'],
    }),
    at: Flags.string({
      helpValue: 'TIME',
      description: 'from the newest snapshot of that time or before',
      exclusive: ['all'],
    }),
    all: Flags.boolean({ char: 'a', description: 'every different version' }),
    'all-files': Flags.boolean({ description: 'everything in one snapshot, the newest by default' }),
    snapshots: Flags.boolean({ description: 'list the snapshots', exclusive: ['restore', 'all-files', 'all'] }),
    to: Flags.string({ helpValue: 'DIR', description: 'restore below this directory', exclusive: ['in-place'] }),
    'in-place': Flags.boolean({ description: 'restore to where it was; shows what would be replaced, and asks' }),
    overwrite: Flags.boolean({ description: 'replace what is there, and do not keep it' }),
    'no-verify': Flags.boolean({ description: 'do not compare by checksums afterwards' }),
    yes: Flags.boolean({ char: 'y', description: 'do not ask' }),
  };

  async run(): Promise<Listing | RestoreReport | { snapshots: readonly SnapshotEntry[] }> {
    const { flags, argv } = await this.parse(RestoreCommand);
    const { log, clock, signal, env, confirm } = this.deps;
    const paths = clientPaths(env);
    const config = await loadClientConfig(paths);
    const deps: RestoreDeps = { config, paths, log, clock, signal, confirm, workingDirectory: process.cwd() };
    const which = {
      paths: argv as string[],
      all: flags.all,
      ...(flags.snapshot === undefined ? {} : { snapshot: flags.snapshot }),
      ...(flags.at === undefined ? {} : { at: flags.at }),
    };
    if (flags.snapshots || (!flags.restore && !flags['all-files'] && which.paths.length === 0))
      return this.#showSnapshots(deps);
    if (!flags.restore && !flags['all-files']) return this.#showVersions(listingOf(await listVersions(which, deps)));
    if (flags['all-files'] && which.paths.length > 0) {
      throw new BytebackError('usage', { what: '--all-files means everything: it takes no paths' });
    }
    if (!flags['all-files'] && which.paths.length === 0 && flags.snapshot === undefined && flags.at === undefined) {
      throw new BytebackError('usage', {
        what: 'nothing was named to restore',
        fix: 'name paths; or restore everything with --all-files, or all of one snapshot with --snapshot',
      });
    }
    const report = await restoreFiles(
      {
        ...which,
        allFiles: flags['all-files'],
        inPlace: flags['in-place'],
        overwrite: flags.overwrite,
        yes: flags.yes,
        verify: !flags['no-verify'],
        ...(flags.to === undefined ? {} : { to: flags.to }),
      },
      deps,
    );
    this.#showReport(report);
    return report;
  }

  async #showSnapshots(deps: RestoreDeps): Promise<{ snapshots: readonly SnapshotEntry[] }> {
    const session = openRestoreSession(deps, false);
    try {
      const snapshots = await listSnapshots(session);
      this.print(
        snapshots.length === 0
          ? 'no snapshots yet'
          : table(snapshots, [
              { title: 'snapshot', text: ({ snapshot }) => snapshot },
              { title: 'taken', text: ({ snapshot }) => timeInWords(takenAt(snapshot)) },
              { title: 'status', text: ({ status }) => status },
            ]),
      );
      return { snapshots };
    } finally {
      await session.close();
    }
  }

  async #showVersions(listing: Listing): Promise<Listing> {
    const names = { users: await localNames('/etc/passwd'), groups: await localNames('/etc/group') };
    this.print(
      table<ListedVersion>(listing.versions, [
        { title: 'snapshot', text: ({ snapshot }) => snapshot },
        { title: 'taken', text: ({ snapshot }) => timeInWords(takenAt(snapshot)) },
        { title: 'modified', text: ({ modified }) => modifiedInWords(modified) },
        {
          title: 'size',
          text: ({ type, sizeBytes }) => (type === 'file' ? sizeInWords(sizeBytes) : '-'),
          align: 'right',
        },
        { title: 'mode', text: ({ type, mode }) => modeInWords(type, mode) },
        { title: 'owner', text: ({ uid, gid }) => ownerInWords(uid, gid, names) },
        { title: 'path', text: ({ path, target }) => (target === undefined ? path : `${path} -> ${target}`) },
      ]),
    );
    for (const { path, why } of listing.missing) this.deps.log.warn(`no version of ${path}: ${why}`);
    if (listing.missing.length > 0) this.endWith('partial');
    return listing;
  }

  #showReport(report: RestoreReport): void {
    for (const { snapshot, to, paths } of report.restored) {
      const place = to === '/' ? 'in place' : `to ${to}`;
      for (const path of paths) this.print(`${path === '/' ? 'everything' : path} restored from ${snapshot} ${place}`);
    }
    const verified = report.verified === 'checksums' ? '; compared with the server by checksums' : '';
    this.print(`${countInWords(report.files, 'file')}, ${sizeInWords(report.bytes)}${verified}`);
    for (const { path, why } of report.failed) this.deps.log.warn(`not restored: ${path}: ${why}`);
    if (report.status === 'partial') this.endWith('partial');
  }
}

function modifiedInWords(iso: string): string {
  const time = new Date(iso);
  return Number.isNaN(time.getTime()) ? iso : timeInWords(time);
}
