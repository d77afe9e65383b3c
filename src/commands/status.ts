import { BaseCommand } from '../cli/base-command.ts';
import { type OwnStatus, readOwnStatus } from '../client/status.ts';
import { loadClientConfig } from '../config/client-config.ts';
import { clientPaths, serverPaths } from '../config/paths.ts';
import { findRoles } from '../config/roles.ts';
import { loadServerConfig } from '../config/server-config.ts';
import { type Column, table } from '../output/table.ts';
import { countInWords, durationInWords, sizeInWords, timeInWords } from '../output/units.ts';
import { type ClientStatus, readServerStatus, requireRoot, type ServerStatus } from '../server/status.ts';
import { openStore } from '../server/store.ts';

/** `byteback status`. */
export class StatusCommand extends BaseCommand {
  static override description =
    'On a client: the last run and the next one. On the server: the space in the store, and the newest snapshot of each client. ' +
    'It only looks, and asks nobody else.';
  static override examples = [
    { description: 'How this machine stands', command: '<%= me %>' },
    { description: 'The same for a program', command: '<%= me %> --json' },
  ];
  static override enableJsonFlag = true;

  async run() {
    await this.parse(StatusCommand);
    const { clock, env } = this.deps;
    const paths = clientPaths(env);
    const roles = await findRoles(paths, serverPaths.serverToml);
    const now = clock.now();
    const report: { server?: ServerStatus; client?: OwnStatus } = {};
    if (roles.server) {
      requireRoot();
      const config = await loadServerConfig();
      const store = await openStore(config);
      report.server = await readServerStatus({ config, store, registryFile: serverPaths.authorizedKeys }, { clock });
      this.print(serverText(report.server, now));
    }
    if (roles.client) {
      report.client = await readOwnStatus(await loadClientConfig(paths), paths, clock);
      if (roles.server) this.print('\n');
      this.print(clientText(report.client, now));
    }
    return report;
  }
}

function serverText({ store, clients }: ServerStatus, now: Date): string {
  const usedBytes = store.totalBytes - store.freeBytes;
  const percent = (bytes: number) => `${Math.round((100 * bytes) / Math.max(1, store.totalBytes))} %`;
  const head =
    `store ${store.path}: ${sizeInWords(usedBytes)} of ${sizeInWords(store.totalBytes)} used (${percent(usedBytes)}), ` +
    `${sizeInWords(store.freeBytes)} free; pruned below ${store.pruneBelowPercent} %\n\n`;
  if (clients.length === 0) return `${head}no clients yet; for each one: byteback client invite NAME`;
  const forecasts = clients.flatMap(({ forecast }) => (forecast === null ? [] : [forecast]));
  const paused = clients.flatMap(({ name, pruningPaused }) =>
    pruningPaused === null ? [] : [`${name}: pruning is paused: ${pruningPaused}; when all is well: byteback release`],
  );
  return [head + table(clients, clientColumns(now)), ...forecasts, ...paused].join('\n');
}

function clientColumns(now: Date): Column<ClientStatus>[] {
  const age = (at: string) => durationInWords(Math.max(0, now.getTime() - Date.parse(at)));
  return [
    { title: 'client', text: ({ name }) => name },
    { title: 'newest snapshot', text: ({ newest }) => newest?.name ?? 'none yet' },
    { title: 'age', text: ({ newest }) => (newest === null ? '' : age(newest.at)) },
    {
      title: 'size',
      text: ({ newest }) => (newest?.totalBytes == null ? '' : sizeInWords(newest.totalBytes)),
      align: 'right',
    },
    { title: 'snapshots', text: ({ snapshots }) => String(snapshots), align: 'right' },
    { title: 'since', text: ({ oldestAt }) => oldestAt?.slice(0, 10) ?? '' },
    { title: 'note', text: (client) => notesOn(client, age).join('; ') },
  ];
}

function notesOn(client: ClientStatus, age: (at: string) => string): string[] {
  return [
    ...(client.registered ? [] : ['no key']),
    ...(client.overdue ? ['overdue'] : []),
    ...(client.newest?.status === 'partial' ? ['partial'] : []),
    ...(client.openRunSince === null ? [] : [`run since ${age(client.openRunSince)}`]),
    ...(client.held === 0 ? [] : [`${client.held} held`]),
  ];
}

function clientText({ destination, source, lastRun, nextRun, overdue }: OwnStatus, now: Date): string {
  const ago = (at: string) =>
    `${timeInWords(new Date(at))}, ${durationInWords(Math.max(0, now.getTime() - Date.parse(at)))} ago`;
  const lines = [`client of ${destination}, sends ${source.join(' ')}`];
  if (lastRun === null) {
    lines.push('last run       none yet; begin with: byteback-backup --verbose');
  } else {
    lines.push(`last run       ${ago(lastRun.endedAt)}: ${lastRun.status}`);
    if (lastRun.error !== null) lines.push(`               ${lastRun.error.what}`);
    if (lastRun.figures !== null) {
      const { sentFiles, sentBytes, files, totalBytes, durationMs } = lastRun.figures;
      lines.push(
        `               sent ${countInWords(sentFiles, 'file')}, ${sizeInWords(sentBytes)}, in ${durationInWords(durationMs)}; ` +
          `found ${countInWords(files, 'file')}, ${sizeInWords(totalBytes)}`,
      );
    }
    if (lastRun.unread.length > 0)
      lines.push(`               ${countInWords(lastRun.unread.length, 'file')} could not be read`);
    const { lastSnapshotAt } = lastRun;
    lines.push(
      `last snapshot  ${lastSnapshotAt === null ? 'none' : ago(lastSnapshotAt)}${overdue ? ' (overdue)' : ''}`,
    );
  }
  const next = nextRun?.at == null ? 'not known' : timeInWords(new Date(nextRun.at));
  lines.push(`next run       ${nextRun === null ? 'nothing starts one by itself' : `${next}, by ${nextRun.by}`}`);
  return lines.join('\n');
}
