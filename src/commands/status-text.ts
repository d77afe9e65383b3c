import type { OwnStatus } from '../client/status.ts';
import { progressLine } from '../output/progress.ts';
import { type Column, table } from '../output/table.ts';
import { countInWords, durationInWords, sizeInWords, timeInWords } from '../output/units.ts';
import type { ClientStatus, Running, ServerStatus } from '../report/fleet.ts';

/** How a server stands, for a person at a terminal of so many columns; Infinity where nothing is to be cut or wrapped. */
export function serverText(status: ServerStatus, columns: number): string {
  const { store, clients, alerts } = status;
  const now = Date.parse(status.at);
  const usedBytes = store.totalBytes - store.freeBytes;
  const lines =
    store.state === 'away'
      ? [...wrapped(`${store.path}: ${store.inWords}`, columns), '']
      : [
          ...wrapped(`${store.path}: ${store.inWords}`, columns),
          `${bar(usedBytes / Math.max(1, store.totalBytes), 32)}  ${sizeInWords(usedBytes)} of ${sizeInWords(store.totalBytes)}, ${sizeInWords(store.freeBytes)} free`,
          `history ${sizeInWords(store.historyBytes)}, next day's backups about ${sizeInWords(store.nextRunsBytes)}; pruned below ${store.pruneBelowPercent} % free`,
          '',
        ];
  if (alerts.length > 0) {
    for (const { level, client, what, fix } of alerts) {
      const head = level === 'critical' ? 'CRITICAL' : 'warning ';
      lines.push(...wrapped(`${head}  ${client === null ? '' : `${client}: `}${what}`, columns, 10));
      if (fix !== null) lines.push(...wrapped(`          fix: ${fix}`, columns, 15));
    }
    lines.push('');
  }
  const running = clients.flatMap(({ name, running: its }) => its.map((one) => ({ name, one })));
  if (running.length > 0) {
    for (const { name, one } of running) lines.push(runningLine(name, one, columns));
    lines.push('');
  }
  if (clients.length === 0) return [...lines, 'no clients yet; for each one: byteback client invite NAME'].join('\n');
  return [...lines, table(clients, clientColumns(now, columns)).trimEnd(), ...moreDisk(status, columns)].join('\n');
}

/** For how many clients it is said what more disk would give: those whose history is the shortest. */
const mostGains = 3;

function moreDisk({ store, clients }: ServerStatus, columns: number): string[] {
  const limited = clients.flatMap(({ name, depthDays, depthWithMoreDays }) =>
    depthDays === null || depthWithMoreDays === null || Math.round(depthWithMoreDays) <= Math.round(depthDays)
      ? []
      : [{ name, depthDays, depthWithMoreDays }],
  );
  if (limited.length === 0) return [];
  const gains = limited
    .toSorted((a, b) => a.depthDays - b.depthDays)
    .slice(0, mostGains)
    .map(
      ({ name, depthDays, depthWithMoreDays }) =>
        `${name} ${Math.round(depthWithMoreDays)} days instead of ${Math.round(depthDays)}`,
    );
  // Disks are sold by powers of ten.
  const gigabytes = store.forecastBytes / 1e9;
  const disk = gigabytes >= 1 ? `${Math.round(gigabytes)} GB` : `${Math.round(gigabytes * 1000)} MB`;
  return ['', ...wrapped(`${disk} more disk would give ${gains.join(', ')}`, columns)];
}

function bar(share: number, width: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width);
  return `[${'#'.repeat(full)}${'-'.repeat(width - full)}]`;
}

function runningLine(
  name: string,
  { kind, expectedBytes, doneBytes, bytesPerSecond }: Running,
  columns: number,
): string {
  const label = `${name} ${{ backup: 'sends', check: 'checks', restore: 'restores' }[kind]}`;
  const leftBytes = expectedBytes === null ? 0 : expectedBytes - doneBytes;
  return progressLine(
    {
      label,
      doneBytes,
      bytesPerSecond,
      // What was announced is an estimate: more may come, and the end is only known when it is there.
      ...(expectedBytes === null || expectedBytes < doneBytes ? {} : { totalBytes: expectedBytes }),
      ...(leftBytes > 0 && bytesPerSecond > 0 ? { remainingMs: (1000 * leftBytes) / bytesPerSecond } : {}),
    },
    columns,
  );
}

/** Two units are too much for a column. */
function shortly(ms: number): string {
  const hours = ms / 3_600_000;
  if (hours >= 48) return `${Math.round(hours / 24)} d`;
  if (hours >= 1) return `${Math.round(hours)} h`;
  return `${Math.round(ms / 60_000)} min`;
}

/** What all columns but the first need, a short note included. */
const otherColumns = 62;

function clientColumns(now: number, columns: number): Column<ClientStatus>[] {
  const room = Math.max(16, columns - otherColumns);
  const cut = (name: string) => (name.length > room ? `${name.slice(0, room - 1)}…` : name);
  const age = (at: string) => shortly(Math.max(0, now - Date.parse(at)));
  return [
    { title: 'client', text: ({ name }) => cut(name) },
    { title: 'last', text: ({ newest }) => (newest === null ? 'none yet' : age(newest.at)), align: 'right' },
    { title: 'every', text: ({ rhythmMs }) => (rhythmMs === null ? '' : shortly(rhythmMs)), align: 'right' },
    {
      title: 'size',
      text: ({ newest }) => (newest?.totalBytes == null ? '' : sizeInWords(newest.totalBytes)),
      align: 'right',
    },
    { title: 'snaps', text: ({ snapshots }) => String(snapshots), align: 'right' },
    { title: 'history', text: ({ oldestAt }) => (oldestAt === null ? '' : age(oldestAt)), align: 'right' },
    { title: 'proven', text: ({ lastProven }) => (lastProven === null ? 'never' : age(lastProven.at)), align: 'right' },
    { title: 'note', text: (client) => notesOn(client, age).join(', ') },
  ];
}

function notesOn(client: ClientStatus, age: (at: string) => string): string[] {
  return [
    ...(client.overdue && client.registered ? ['OVERDUE'] : []),
    ...(client.pruningPaused === null ? [] : ['PAUSED']),
    ...(client.registered ? [] : ['no key']),
    ...(client.newest?.status === 'partial' ? [`${client.newest.unread ?? 'some'} unread`] : []),
    ...(client.running.length > 0
      ? ['running']
      : client.openRunSince === null
        ? []
        : [`unfinished ${age(client.openRunSince)}`]),
    ...(client.held === 0 ? [] : [`${client.held} held`]),
  ];
}

/** How a client stands. */
export function clientText({ destination, source, lastRun, nextRun, overdue }: OwnStatus, now: Date): string {
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
    lines.push(...leftOutLines(lastRun.excluded ?? []));
  }
  const next = nextRun?.at == null ? 'not known' : timeInWords(new Date(nextRun.at));
  lines.push(`next run       ${nextRun === null ? 'nothing starts one by itself' : `${next}, by ${nextRun.by}`}`);
  return lines.join('\n');
}

/** On a terminal the first few are enough; all stand in --json. */
const mostLeftOut = 6;

function leftOutLines(excluded: readonly { path: string; why: string }[]): string[] {
  const shown = excluded.slice(0, mostLeftOut).map(({ path, why }, index) => {
    return `${index === 0 ? 'left out       ' : '               '}${path}: ${why}`;
  });
  const rest = excluded.length - shown.length;
  return rest > 0
    ? [...shown, `               and ${countInWords(rest, 'other')}; all of them: byteback status --json`]
    : shown;
}

/** Lines of at most so many columns, the later ones indented. */
function wrapped(text: string, columns: number, indent = 0): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/(?<=\S) /)) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (longer.length <= columns || line === '') line = longer;
    else {
      lines.push(line);
      line = `${' '.repeat(indent)}${word}`;
    }
  }
  return [...lines, line];
}
