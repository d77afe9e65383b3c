import { BaseCommand, Flags } from '../cli/base-command.ts';
import { type Changed, type Deleted, listChanged, listDeleted } from '../client/restore/history.ts';
import { type ListedVersion, listed, listedMissing, takenAt } from '../client/restore/listing.ts';
import { describeMachine, type MachineReport } from '../client/restore/machine.ts';
import { momentForm } from '../client/restore/moment.ts';
import type { LeftOut } from '../client/restore/privileges.ts';
import { type RestoreReport, restoreFiles } from '../client/restore/restore-files.ts';
import {
  listSnapshots,
  listVersions,
  openRestoreSession,
  type RestoreDeps,
  type WhichVersions,
} from '../client/restore/versions.ts';
import { loadClientConfig } from '../config/client-config.ts';
import { clientPaths } from '../config/paths.ts';
import { BytebackError } from '../errors.ts';
import { modeInWords, ownerInWords } from '../output/file-attributes.ts';
import { growingJson } from '../output/growing-json.ts';
import { growingTable, table } from '../output/table.ts';
import { countInWords, numberInWords, sizeInWords, timeInWords } from '../output/units.ts';
import type { SnapshotEntry } from '../protocol/messages.ts';
import { parseClientName } from '../protocol/names.ts';
import { openServer } from '../server/open-server.ts';
import { clientExists } from '../server/store.ts';
import { localNames } from '../system/accounts.ts';
import { localSessionArgv } from '../system/local-session.ts';

/** What --json prints, by what was asked for. */
type Result =
  | undefined
  | RestoreReport
  | Changed
  | MachineReport
  | { readonly snapshots: readonly SnapshotEntry[] }
  | { readonly deleted: readonly Deleted[] };

/** On the server itself nothing is configured, and nothing is tried again. */
const localConfig: RestoreDeps['config'] = {
  destination: 'byteback@localhost:',
  retryNumber: 0,
  retryDelayMs: 0,
  ioTimeoutMs: 3_600_000,
};

/** `byteback-restore`. */
export class RestoreCommand extends BaseCommand {
  static override description = [
    'Without --restore, lists the newest version of each path, or with --all every different one. With --restore, brings it back: into a directory named like the snapshot, below the working directory, unless --to or --in-place says otherwise. Each path keeps its whole name there: /etc/hosts becomes ./SNAPSHOT/etc/hosts.',
    'Paths that are relative count from the working directory. A name that is no text is written as the listing prints it. A path may be a pattern in quotes, with *, ** for directories at any depth, ?, [a-z], and {one,two}; names that begin with a dot match like others.',
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
    {
      description: 'On the server: a file of a client that is no more',
      command: '<%= me %> --client web1 --restore --to /tmp/web1 /etc/hosts',
    },
    { description: 'What made the last backup grow', command: '<%= me %> --changed' },
    { description: 'How to make the whole machine anew, on paper before it is needed', command: '<%= me %> --machine' },
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
    deleted: Flags.boolean({
      description: 'list what was there and is gone, here and below, or below one path',
      exclusive: ['restore', 'all-files', 'all', 'snapshots', 'snapshot', 'at', 'changed'],
    }),
    changed: Flags.boolean({
      description: 'list what differs between two snapshots, the largest first, in all or below one path',
      exclusive: ['restore', 'all-files', 'all', 'snapshots'],
    }),
    machine: Flags.boolean({
      description:
        'print how to make the whole machine anew: disks, restore, boot loader; with --json, all that is known of it',
      exclusive: ['restore', 'all-files', 'all', 'snapshots', 'deleted', 'changed'],
    }),
    since: Flags.string({
      helpValue: 'NAME|TIME',
      description: 'the earlier of the two; by default the one before',
      dependsOn: ['changed'],
    }),
    to: Flags.string({ helpValue: 'DIR', description: 'restore below this directory', exclusive: ['in-place'] }),
    'in-place': Flags.boolean({ description: 'restore to where it was; shows what would be replaced, and asks' }),
    overwrite: Flags.boolean({ description: 'replace what is there, and do not keep it' }),
    'no-verify': Flags.boolean({ description: 'do not compare by checksums afterwards' }),
    client: Flags.string({
      helpValue: 'NAME',
      description: 'on the server, as root: the files of this client, without ssh; names count from /',
      exclusive: ['in-place'],
    }),
    privileged: Flags.boolean({
      description:
        'with --client: also device nodes, setuid and setgid bits and capabilities, and the top directory as it was',
      dependsOn: ['client'],
    }),
    yes: Flags.boolean({ char: 'y', description: 'do not ask' }),
  };

  async run(): Promise<Result> {
    const { flags, argv } = await this.parse(RestoreCommand);
    const { log, clock, signal, env, confirm } = this.deps;
    const paths = clientPaths(env);
    const local = flags.client === undefined ? undefined : await this.#onTheServer(flags.client);
    const config = local === undefined ? await loadClientConfig(paths) : localConfig;
    const deps: RestoreDeps = {
      ...(local === undefined ? {} : { local }),
      config,
      paths,
      log,
      clock,
      signal,
      confirm,
      workingDirectory: process.cwd(),
    };
    const which = {
      // On the server there is no directory of the client's that a name could count from.
      paths: (argv as string[]).map((path) => (local === undefined || path.startsWith('/') ? path : `/${path}`)),
      all: flags.all,
      ...(flags.snapshot === undefined ? {} : { snapshot: flags.snapshot }),
      ...(flags.at === undefined ? {} : { at: flags.at }),
    };
    if (flags.machine) {
      const report = await describeMachine(which, deps);
      this.print(report.recipe);
      return report;
    }
    if (flags.changed || flags.deleted) {
      const [path, second] = which.paths;
      if (second !== undefined) throw new BytebackError('usage', { what: `one path at most: ${second} is too many` });
      const history = {
        ...which,
        ...(path === undefined ? {} : { path }),
        ...(flags.since === undefined ? {} : { since: flags.since }),
      };
      if (flags.changed) return this.#showChanged(await listChanged(history, deps));
      return this.#showDeleted(await listDeleted({ path: path ?? '.' }, deps));
    }
    if (flags.snapshots || (!flags.restore && !flags['all-files'] && which.paths.length === 0))
      return this.#showSnapshots(deps);
    if (!flags.restore && !flags['all-files']) return this.#showVersions(which, deps);
    if (flags['all-files'] && which.paths.length > 0) {
      throw new BytebackError('usage', { what: '--all-files means everything: it takes no paths' });
    }
    if (!flags['all-files'] && which.paths.length === 0 && flags.snapshot === undefined && flags.at === undefined) {
      throw new BytebackError('usage', {
        what: 'nothing was named to restore',
        fix: 'name paths; or restore everything with --all-files, or all of one snapshot with --snapshot',
      });
    }
    const { report, settle } = await restoreFiles(
      {
        ...which,
        allFiles: flags['all-files'],
        inPlace: flags['in-place'],
        overwrite: flags.overwrite,
        yes: flags.yes,
        verify: !flags['no-verify'],
        privileged: flags.privileged,
        ...(flags.to === undefined ? {} : { to: flags.to }),
      },
      deps,
    );
    this.#showReport(report);
    await settle();
    return report;
  }

  /** How root on a server reads a client's snapshots: as the user that receives, in the same jail as over ssh. */
  async #onTheServer(name: string): Promise<readonly [string, ...string[]]> {
    const { store, account } = await openServer(this.deps.clock);
    const client = parseClientName(name);
    if (client === undefined || !(await clientExists(store, client))) {
      throw new BytebackError('usage', {
        what: `no client ${JSON.stringify(name)}`,
        fix: 'see all of them with: byteback client list',
      });
    }
    return localSessionArgv(account, client);
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

  async #showVersions(which: WhichVersions, deps: RestoreDeps): Promise<undefined> {
    const names = { users: await localNames('/etc/passwd'), groups: await localNames('/etc/group') };
    const json = growingJson('versions', (text) => process.stdout.write(text));
    const shown = growingTable<ListedVersion>(
      [
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
      ],
      (text) => this.print(text),
    );
    const notFound = await listVersions(which, deps, (versions, snapshot) => {
      const rows = versions.map((version) => listed(version));
      if (this.jsonEnabled()) json.add(rows, { snapshot: snapshot ?? null });
      else shown.add(rows);
    });
    const missing = notFound.map((path) => listedMissing(path));
    if (this.jsonEnabled()) json.end({ missing });
    else shown.end();
    for (const { path, why } of missing) this.deps.log.warn(`no version of ${path}: ${why}`);
    if (missing.length > 0) this.endWith('partial');
    // It is printed already: it may have been longer than one wants to hold.
    return undefined;
  }

  #showChanged(changed: Changed): Changed {
    const { from, to, totals, largest } = changed;
    if (largest.length > 0) {
      const size = (bytes: number | null) => (bytes === null ? '-' : sizeInWords(bytes));
      this.print(
        table(largest, [
          { title: 'change', text: ({ change }) => (change === 'content' ? 'changed' : change) },
          { title: 'before', text: ({ sizeBefore }) => size(sizeBefore), align: 'right' },
          { title: 'after', text: ({ sizeAfter }) => size(sizeAfter), align: 'right' },
          { title: 'path', text: ({ path }) => path },
        ]),
      );
    }
    const { added, removed, content, attributes } = totals;
    const all = added.paths + removed.paths + content.paths;
    if (all > largest.length) this.print(`… and ${countInWords(all - largest.length, 'smaller change')}`);
    this.print(
      [
        `from ${from} to ${to}: ${countInWords(added.paths, 'path')} added (${sizeInWords(added.bytes)})`,
        `${numberInWords(content.paths)} changed (${sizeInWords(content.bytes)})`,
        `${numberInWords(removed.paths)} removed (${sizeInWords(removed.bytes)})`,
        `${numberInWords(attributes.paths)} with other attributes only`,
      ].join(', '),
    );
    return changed;
  }

  #showDeleted(deleted: readonly Deleted[]): { readonly deleted: readonly Deleted[] } {
    this.print(
      deleted.length === 0
        ? 'nothing is gone'
        : table(deleted, [
            { title: 'last in', text: ({ snapshot }) => snapshot },
            { title: 'taken', text: ({ snapshot }) => timeInWords(takenAt(snapshot)) },
            { title: 'size', text: ({ sizeBytes }) => sizeInWords(sizeBytes), align: 'right' },
            { title: 'path', text: ({ path }) => path },
          ]),
    );
    return { deleted };
  }

  #showReport(report: RestoreReport): void {
    const failed = new Set(report.failed.map(({ path }) => path));
    for (const { snapshot, to, paths } of report.restored) {
      const place = to === '/' ? 'in place' : `to ${to}`;
      for (const path of paths.filter((each) => !failed.has(each)))
        this.print(`${path === '/' ? 'everything' : path} restored from ${snapshot} ${place}`);
    }
    const verified = report.verified === 'checksums' ? '; compared with the server by checksums' : '';
    const { all } = report;
    const isAll = all === null || (all.files === report.files && all.bytes === report.bytes);
    const came = `${countInWords(report.files, 'file')}, ${sizeInWords(report.bytes)}`;
    const counted = isAll
      ? came
      : `${came} brought; ${countInWords(all.files, 'file')}, ${sizeInWords(all.bytes)} in all`;
    this.print(`${counted}${verified}`);
    const leftOut = report.leftOut === null ? '' : leftOutInWords(report.leftOut);
    if (leftOut !== '') this.deps.log.warn(`left out on this server: ${leftOut}; --privileged restores them`);
    for (const { path, why } of report.failed) this.deps.log.warn(`not restored: ${path}: ${why}`);
    if (report.status === 'partial') this.endWith('partial');
  }
}

/** On the server a client's device nodes and setuid programs would be the server's. */
function leftOutInWords({ devices, setuid, capabilities }: LeftOut): string {
  return [
    ...(devices > 0 ? [countInWords(devices, 'device node')] : []),
    ...(setuid > 0 ? [`the setuid or setgid bits of ${countInWords(setuid, 'path')}`] : []),
    ...(capabilities > 0 ? [`the capabilities of ${countInWords(capabilities, 'file')}`] : []),
  ].join(', ');
}

function modifiedInWords(iso: string): string {
  const time = new Date(iso);
  return Number.isNaN(time.getTime()) ? iso : timeInWords(time);
}
