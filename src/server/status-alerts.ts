import type { Alert, ClientStatus, StoreStatus } from '../report/fleet.ts';

const dayMs = 86_400_000;

/** What happened on this server, as far as it may be alarming. */
export interface AlarmingEvent {
  readonly at: string;
  readonly kind: string;
  readonly client?: string | undefined;
  readonly what: string;
}

const drillCommand = 'byteback drill';

/** Kinds of events that stay worth a look for some days, though nothing else of the status shows them. */
const alarmingFor: Readonly<Record<string, { level: Alert['level']; days: number; fix: string }>> = {
  bitrot: { level: 'critical', days: 30, fix: 'byteback events' },
  drill: { level: 'critical', days: 8, fix: drillCommand },
  clock: { level: 'warning', days: 2, fix: 'timedatectl status' },
  'pruning-waits': { level: 'warning', days: 2, fix: 'byteback-prune --dry-run' },
  empty: { level: 'warning', days: 2, fix: 'byteback events' },
  'run-failed': { level: 'warning', days: 2, fix: 'byteback events' },
};

/** All that somebody should look at, the critical first. Pure. */
export function alertsOf(
  {
    store,
    clients,
    events,
  }: { store: StoreStatus; clients: readonly ClientStatus[]; events: readonly AlarmingEvent[] },
  nowMs: number,
): Alert[] {
  const alerts: Alert[] = [];
  if (store.state === 'short') {
    const fix = 'byteback-prune --list says what may still go; otherwise: a larger disk';
    alerts.push({ level: 'critical', client: null, what: `${store.path}: ${store.inWords}`, fix });
  }
  for (const client of clients) alerts.push(...alertsOfClient(client, nowMs));
  const newestOfKind = new Map<string, AlarmingEvent>();
  for (const event of events) {
    const rule = alarmingFor[event.kind];
    if (rule === undefined || nowMs - Date.parse(event.at) > rule.days * dayMs) continue;
    newestOfKind.set(`${event.kind} ${event.client ?? ''}`, event);
  }
  for (const event of newestOfKind.values()) {
    const rule = alarmingFor[event.kind];
    // A run that came through since, or a drill that went well, says that it is over.
    const client = clients.find(({ name }) => name === event.client);
    const isOver =
      (event.kind === 'run-failed' && (client?.newest?.at ?? '') > event.at) ||
      (event.kind === 'drill' && (client?.lastProven?.at ?? '') > event.at);
    if (rule === undefined || isOver) continue;
    const fix = event.client === undefined ? rule.fix : withClient(rule.fix, event.client);
    alerts.push({ level: rule.level, client: event.client ?? null, what: event.what, fix });
  }
  const rank = (alert: Alert) => (alert.level === 'critical' ? 0 : 1);
  return alerts.toSorted((a, b) => rank(a) - rank(b));
}

/** A drill is asked for on the client: the server has nothing to compare its files with. */
function withClient(fix: string, client: string): string {
  return fix === drillCommand ? `on ${client}: ${drillCommand}` : fix;
}

function alertsOfClient(client: ClientStatus, nowMs: number): Alert[] {
  const { name, newest } = client;
  const alerts: Alert[] = [];
  if (client.registered && client.overdue && newest === null) {
    alerts.push({
      level: 'warning',
      client: name,
      what: 'it was registered, and has never sent anything',
      fix: `on ${name}: byteback-backup --verbose; if it is not to come: byteback client revoke ${name}`,
    });
  }
  if (client.registered && client.overdue && newest !== null) {
    const ageMs = nowMs - Date.parse(newest.at);
    const isLong = ageMs > Math.max(7 * dayMs, 4 * (client.rhythmMs ?? dayMs));
    const days = Math.floor(ageMs / dayMs);
    const age = days < 2 ? `${Math.floor(ageMs / 3_600_000)} hours` : `${days} days`;
    const fix = `on ${name}: byteback status, then byteback-backup --verbose`;
    alerts.push({ level: isLong ? 'critical' : 'warning', client: name, what: `no backup for ${age}`, fix });
  }
  if (client.pruningPaused !== null) {
    const held = client.holds.find(({ by }) => by === 'destruction-guard')?.snapshot;
    alerts.push({
      level: 'critical',
      client: name,
      what: `pruning is paused: ${client.pruningPaused}`,
      fix: `look at the client; when all is well: byteback release ${name}${held === undefined ? '' : ` ${held}`}`,
    });
  }
  const grown = client.holds.find(({ by }) => by === 'growth-guard');
  if (grown !== undefined) {
    const fix = `if it is meant to be so large: byteback client allow-growth ${name}`;
    alerts.push({ level: 'warning', client: name, what: `a backup was refused: ${grown.reason}`, fix });
  }
  return alerts;
}
