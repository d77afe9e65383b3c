import { BaseCommand, durationMs, Flags } from '../cli/base-command.ts';
import { type OwnStatus, readOwnStatus } from '../client/status.ts';
import { loadClientConfig } from '../config/client-config.ts';
import { clientPaths, serverPaths } from '../config/paths.ts';
import { findRoles } from '../config/roles.ts';
import { BytebackError, type ExitName, reasonOf } from '../errors.ts';
import { watch } from '../output/watch.ts';
import { type CheckState, checkClient, checkFailed, checkServer, worse } from '../report/check.ts';
import type { ServerStatus } from '../report/fleet.ts';
import { readServerStatus, statusSources } from '../server/status.ts';
import { clientText, serverText } from './status-text.ts';

/** What `byteback status --json` prints. */
interface Report {
  server?: ServerStatus;
  client?: OwnStatus;
}

/** Monitors know only these four codes; the one table of exit codes has them under these names. */
const checkExits: Readonly<Record<CheckState, ExitName>> = {
  ok: 'ok',
  warning: 'bug',
  critical: 'usage',
  unknown: 'partial',
};

/** `byteback status`. */
export class StatusCommand extends BaseCommand {
  static override description = [
    "On the server: the space in the store in plain words, each client's last backup and its rhythm, size, history and last proven restore, transfers that are under way, and what somebody should look at. On a client: the last run, the next one, and what was left out. It only looks, and asks nobody else.",
    'With --check it prints one line for a monitor such as Nagios or Icinga, with figures, and its exit code is that of a plugin: 0 all is well, 1 a warning, 2 critical, 3 when nothing could be found out.',
  ].join('\n\n');
  static override examples = [
    { description: 'How this machine stands', command: '<%= me %>' },
    { description: 'The same, kept up to date, until Ctrl-C', command: '<%= me %> --watch' },
    { description: 'For a program', command: '<%= me %> --json' },
    { description: 'For a monitor', command: '<%= me %> --check' },
  ];
  static override enableJsonFlag = true;
  static override flags = {
    watch: Flags.boolean({ description: 'show it again and again, until it is stopped' }),
    every: durationMs({ description: 'with --watch: how often, 2s by default', dependsOn: ['watch'] }),
    check: Flags.boolean({
      description: 'one line with figures, and the exit code of a monitoring plugin: 0, 1, 2 or 3',
      exclusive: ['watch', 'json'],
    }),
  };

  async run() {
    if (this.argv.includes('--check')) return await this.#check();
    const { flags } = await this.parse(StatusCommand);
    if (!flags.watch) {
      const report = await this.#look();
      this.print(this.#text(report));
      return report;
    }
    if (this.jsonEnabled()) {
      throw new BytebackError('usage', {
        what: '--watch and --json do not go together',
        fix: 'call --json repeatedly',
      });
    }
    const { clock, signal } = this.deps;
    await watch(async () => this.#text(await this.#look()), {
      everyMs: Math.max(200, flags.every ?? 2000),
      signal,
      sleep: clock.sleep,
    });
    return undefined;
  }

  async #look(): Promise<Report> {
    const { clock, env } = this.deps;
    const paths = clientPaths(env);
    const roles = await findRoles(paths, serverPaths.serverToml);
    const report: Report = {};
    if (roles.server) {
      report.server = await readServerStatus(await statusSources(), { clock });
    }
    if (roles.client) report.client = await readOwnStatus(await loadClientConfig(paths), paths, clock);
    return report;
  }

  #text({ server, client }: Report): string {
    const now = this.deps.clock.now();
    // What goes to a file or a program is neither cut nor wrapped.
    const columns = process.stdout.columns ?? Number.POSITIVE_INFINITY;
    const texts = [
      ...(server === undefined ? [] : [serverText(server, columns)]),
      ...(client === undefined ? [] : [clientText(client, now)]),
    ];
    return texts.join('\n');
  }

  /** A monitor understands nothing but its line and its four codes, whatever goes wrong. */
  async #check(): Promise<undefined> {
    // oclif would warn on standard error of options that could not be understood; the line tells it.
    this.parsed = true;
    const result = await this.#checked().catch((error: unknown) => checkFailed(reasonOf(error).split('\n')[0] ?? ''));
    this.print(result.line);
    this.endWith(checkExits[result.state]);
    return undefined;
  }

  async #checked() {
    await this.parse(StatusCommand);
    const { server, client } = await this.#look();
    const now = this.deps.clock.now().getTime();
    const own =
      client === undefined
        ? undefined
        : checkClient({
            overdue: client.overdue,
            lastStatus: client.lastRun?.status ?? null,
            lastError: client.lastRun?.error?.what ?? null,
            ageMs: client.lastRun?.lastSnapshotAt == null ? null : now - Date.parse(client.lastRun.lastSnapshotAt),
          });
    if (server === undefined) return own ?? checkFailed('this machine is neither a server nor a client');
    return own === undefined ? checkServer(server) : worse(checkServer(server), own);
  }
}
