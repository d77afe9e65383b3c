import { check, type HealthCheck } from './check.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** Pruning looks hourly, and after each run. */
const pruneSilenceMs = 2 * dayMs;
/** A mail that did not go within this time is stuck. */
const postPatienceMs = hourMs;

/** What byteback itself does on the server: its settings, its pruning, its mails, its state. */
export const workChecks: readonly HealthCheck[] = [
  check('config-bad', 'config', ({ problem }) =>
    problem === null
      ? []
      : [
          {
            level: 'critical',
            what: `server.toml cannot be used, the settings from before hold: ${problem}`,
            fix: 'mend /etc/byteback/server.toml, then: byteback doctor',
          },
        ],
  ),
  check('config-strangers', 'config', ({ strangers }) =>
    strangers.length === 0
      ? []
      : [
          {
            level: 'warning',
            what: `server.toml has tables for clients that do not exist: ${strangers.join(', ')}`,
            fix: 'correct the name, or take the table out; the names: byteback client list',
          },
        ],
  ),
  check('clock-refused', 'clock', ({ refusal, future }) =>
    refusal === null || future.length > 0
      ? []
      : [
          {
            level: 'critical',
            what: `nothing is pruned: ${refusal}`,
            fix: 'timedatectl status; if the clock is right: byteback-prune --confirm',
          },
        ],
  ),
  check('future-snapshots', 'clock', ({ future }) => {
    if (future.length === 0) return [];
    const count = future.reduce((sum, { snapshots }) => sum + snapshots.length, 0);
    const names = future.map(({ client }) => client);
    const who = names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ');
    return [
      {
        level: 'critical',
        what: `${count} snapshots bear a time to come (${who}): the clock was wrong, and nothing is pruned until that time`,
        fix: 'if the clock is right now: byteback-prune --future',
      },
    ];
  }),
  check('prune-idle', 'pruning', ({ lastAt }, { nowMs }) => {
    if (lastAt === null || nowMs - Date.parse(lastAt) <= pruneSilenceMs) return [];
    return [
      {
        level: 'warning',
        what: `the store was not looked at by a prune for ${Math.floor((nowMs - Date.parse(lastAt)) / dayMs)} days`,
        fix: 'find out why its timer does not run: systemctl list-timers',
      },
    ];
  }),
  check('post-stuck', 'post', ({ waiting, oldestAt, lastError }, { nowMs }) =>
    oldestAt === null || nowMs - Date.parse(oldestAt) <= postPatienceMs
      ? []
      : [
          {
            level: 'warning',
            what: `${waiting} mails or calls do not go out${lastError === undefined ? '' : `: ${lastError}`}`,
            fix: 'byteback report --test; what waits: byteback report --queue',
          },
        ],
  ),
  check('state-missing', 'state', ({ missing }) =>
    missing.map((file) => ({
      level: 'critical' as const,
      what: `what is held is known from a copy only, and nothing is pruned: ${file}`,
      fix: 'byteback-prune says how to take the copy',
    })),
  ),
  check('state-damaged', 'state', ({ putAside }) =>
    putAside.length === 0
      ? []
      : [
          {
            level: 'warning',
            what: `files of the state were damaged and put aside: ${putAside.join(', ')}`,
            fix: 'look at them, then delete them',
          },
        ],
  ),
];
