import type { ServerStatus } from './fleet.ts';

/** The states that monitoring plugins know; each is the exit code of its place: 0, 1, 2, 3. */
export const checkStates = ['ok', 'warning', 'critical', 'unknown'] as const;
export type CheckState = (typeof checkStates)[number];

/** One line for a monitor such as Nagios or Icinga, and its state. */
export interface CheckResult {
  readonly state: CheckState;
  readonly line: string;
}

/** What a client says of itself to a monitor. */
export interface OwnCheck {
  readonly overdue: boolean;
  /** Null before the first run. */
  readonly lastStatus: 'ok' | 'partial' | 'failed' | null;
  readonly lastError: string | null;
  /** Since the last snapshot; null when there is none. */
  readonly ageMs: number | null;
}

/** How a server stands, in one line with figures: the worst alert first. Pure. */
export function checkServer({ at, store, clients, alerts }: ServerStatus): CheckResult {
  const state = alerts.some(({ level }) => level === 'critical') ? 'critical' : alerts.length > 0 ? 'warning' : 'ok';
  const [first] = alerts;
  const more = alerts.length > 1 ? `; ${alerts.length - 1} more` : '';
  const words =
    first === undefined
      ? `${counted(clients.length, 'client')}, ${store.inWords}`
      : `${first.client === null ? '' : `${first.client}: `}${first.what}${more}`;
  const usedBytes = store.totalBytes - store.freeBytes;
  const ages = clients.flatMap(({ registered, newest }) =>
    registered && newest !== null ? [Math.max(0, Math.round((Date.parse(at) - Date.parse(newest.at)) / 1000))] : [],
  );
  const figures = [
    ...(store.state === 'away' ? [] : [`used=${usedBytes}B;;;0;${store.totalBytes}`]),
    `clients=${clients.length};;;0`,
    `overdue=${clients.filter((client) => client.registered && client.overdue).length};;;0`,
    `snapshots=${clients.reduce((sum, client) => sum + client.snapshots, 0)};;;0`,
    `held=${clients.reduce((sum, client) => sum + client.held, 0)};;;0`,
    ...(ages.length === 0 ? [] : [`oldest_age=${Math.max(...ages)}s;;;0`]),
  ];
  return result(state, words, figures);
}

/** How a client stands, by what it knows itself. Pure. */
export function checkClient({ overdue, lastStatus, lastError, ageMs }: OwnCheck): CheckResult {
  const state = overdue ? 'critical' : lastStatus === 'failed' || lastStatus === 'partial' ? 'warning' : 'ok';
  const age = ageMs === null ? 'no backup yet' : `last backup ${Math.floor(ageMs / 3_600_000)} h ago`;
  const why =
    lastStatus === 'failed'
      ? `, the last run failed: ${lastError ?? 'for a reason that is not recorded'}`
      : lastStatus === 'partial'
        ? ', some files could not be read'
        : '';
  return result(state, `${age}${why}`, ageMs === null ? [] : [`age=${Math.round(ageMs / 1000)}s;;;0`]);
}

/** The worse of two, for a machine that is both. */
export function worse(a: CheckResult, b: CheckResult): CheckResult {
  const [first, second] = checkStates.indexOf(b.state) > checkStates.indexOf(a.state) ? [b, a] : [a, b];
  const words = (line: string) => line.slice(line.indexOf(' - ') + 3).split(' | ');
  const [[one = '', oneFigures = ''], [two = '', twoFigures = '']] = [words(first.line), words(second.line)];
  return result(first.state, `${one}; ${two}`, `${oneFigures} ${twoFigures}`.trim().split(' '));
}

/** When nothing could be found out. */
export function checkFailed(reason: string): CheckResult {
  return result('unknown', reason, []);
}

function result(state: CheckState, words: string, figures: readonly string[]): CheckResult {
  // A bar begins the figures and a line end the long text, so that neither may stand in the words.
  const safe = words.replaceAll('|', '/').replaceAll(/[\p{Cc}\s]+/gu, ' ');
  const data = figures.filter((figure) => figure !== '');
  return { state, line: `BYTEBACK ${state.toUpperCase()} - ${safe}${data.length === 0 ? '' : ` | ${data.join(' ')}`}` };
}

function counted(count: number, one: string): string {
  return `${count} ${count === 1 ? one : `${one}s`}`;
}
