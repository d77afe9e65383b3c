import type { ClientStatus } from '../../report/fleet.ts';
import { check, type Found, type HealthCheck } from './check.ts';

const dayMs = 86_400_000;

/** One check of each client. */
function perClient(id: string, find: (client: ClientStatus, nowMs: number) => Omit<Found, 'client'> | undefined) {
  return check(id, 'clients', (clients, { nowMs }) =>
    clients.flatMap((client) => {
      const found = find(client, nowMs);
      return found === undefined ? [] : [{ ...found, client: client.name }];
    }),
  );
}

export const clientChecks: readonly HealthCheck[] = [
  check('client-without-place', 'places', ({ missing, registered }) => {
    if (missing.length === 0) return [];
    if (missing.length === registered && registered > 1) {
      return [
        {
          level: 'critical',
          what: `none of the ${registered} registered clients has a place in the store: it is another store than before`,
          fix: 'mount the right disk; if the store begins anew: byteback-setup-server makes the places again',
        },
      ];
    }
    return missing.map((client) => ({
      level: 'critical' as const,
      client,
      what: 'it is registered and has no place in the store: its backups are refused',
      fix: 'if its history is lost: byteback-setup-server makes the place again',
    }));
  }),
  perClient('never-sent', ({ name, registered, overdue, newest }) =>
    registered && overdue && newest === null
      ? {
          level: 'warning',
          what: 'it was registered, and has never sent anything',
          fix: `on ${name}: byteback-backup --verbose; if it is not to come: byteback client revoke ${name}`,
          isTold: true,
        }
      : undefined,
  ),
  perClient('overdue', ({ name, registered, overdue, newest, rhythmMs }, nowMs) => {
    if (!registered || !overdue || newest === null) return undefined;
    const ageMs = nowMs - Date.parse(newest.at);
    const isLong = ageMs > Math.max(7 * dayMs, 4 * (rhythmMs ?? dayMs));
    const days = Math.floor(ageMs / dayMs);
    return {
      level: isLong ? 'critical' : 'warning',
      what: `no backup for ${days < 2 ? `${Math.floor(ageMs / 3_600_000)} hours` : `${days} days`}`,
      fix: `on ${name}: byteback status, then byteback-backup --verbose`,
      isTold: true,
    };
  }),
  perClient('pruning-paused', ({ name, pruningPaused, holds }) => {
    if (pruningPaused === null) return undefined;
    const held = holds.find(({ by }) => by === 'destruction-guard')?.snapshot;
    return {
      level: 'critical',
      what: `pruning is paused: ${pruningPaused}`,
      fix: `look at the client; when all is well: byteback release ${name}${held === undefined ? '' : ` ${held}`}`,
      isTold: true,
    };
  }),
  perClient('growth-refused', ({ name, holds }) => {
    const grown = holds.find(({ by }) => by === 'growth-guard');
    if (grown === undefined) return undefined;
    return {
      level: 'warning',
      what: `a backup was refused: ${grown.reason}`,
      fix: `if it is meant to be so large: byteback client allow-growth ${name}`,
      isTold: true,
    };
  }),
  ...eventChecks(),
];

/** Kinds of events that stay worth a look for some days, though no other fact shows them. */
function eventChecks(): HealthCheck[] {
  const drill = 'byteback drill';
  const alarming: Readonly<Record<string, { level: Found['level']; days: number; fix: string }>> = {
    bitrot: { level: 'critical', days: 30, fix: 'byteback events' },
    drill: { level: 'critical', days: 8, fix: drill },
    clock: { level: 'warning', days: 2, fix: 'timedatectl status' },
    'pruning-in-vain': { level: 'critical', days: 7, fix: 'byteback-prune --dry-run' },
    'pruning-waits': { level: 'warning', days: 2, fix: 'byteback-prune --dry-run' },
    empty: { level: 'warning', days: 2, fix: 'byteback events' },
    'run-failed': { level: 'warning', days: 2, fix: 'byteback events' },
    hook: { level: 'warning', days: 2, fix: 'byteback events' },
    state: { level: 'critical', days: 8, fix: 'byteback events' },
  };
  return Object.entries(alarming).map(([kind, { level, days, fix }]) =>
    check(kind, 'events', (events, { nowMs, facts }) => {
      const clients = 'value' in facts.clients ? facts.clients.value : [];
      const newest = new Map<string, (typeof events)[number]>();
      for (const event of events) {
        if (event.kind === kind && nowMs - Date.parse(event.at) <= days * dayMs) newest.set(event.client ?? '', event);
      }
      return [...newest.values()].flatMap((event): Found[] => {
        // A run that came through since, or a drill that went well, says that it is over.
        const client = clients.find(({ name }) => name === event.client);
        const isMended = events.some((other) => other.kind === 'clock-mended' && other.at >= event.at);
        const isOver =
          (kind === 'clock' && isMended) ||
          ((kind === 'run-failed' || kind === 'hook') && (client?.newest?.at ?? '') > (event.happenedAt ?? event.at)) ||
          (kind === 'drill' && (client?.lastProven?.at ?? '') > event.at);
        if (isOver) return [];
        // A drill is asked for on the client: the server has nothing to compare its files with.
        const where = fix === drill && event.client !== undefined ? `on ${event.client}: ${fix}` : fix;
        const about = event.client === undefined ? {} : { client: event.client };
        return [{ level, ...about, what: event.what, fix: where, isTold: true }];
      });
    }),
  );
}
