import { check, type HealthCheck } from './check.ts';
import type { DiskFact, HealthFacts } from './facts.ts';

const dayMs = 86_400_000;
/** The timer scrubs monthly. */
const scrubEveryMs = 45 * dayMs;

/** The disks, the file system on them, and the room in it. */
export const storeChecks: readonly HealthCheck[] = [
  check('store-away', 'store', ({ away }) =>
    away === null
      ? []
      : [
          {
            level: 'critical',
            what: `the store is not there: no client can back up: ${away}`,
            fix: 'mount it, or look at its disk: byteback doctor',
            isTold: true,
          },
        ],
  ),
  check('store-read-only', 'mount', ({ readOnly, why }) =>
    readOnly
      ? [
          {
            level: 'critical',
            what: `nothing can be written in the store: no client can back up${why === undefined ? '' : `: ${why}`}`,
            fix: 'the kernel does that after an error of the disk: dmesg | grep -i btrfs',
          },
        ]
      : [],
  ),
  check('disk-missing', 'disks', (disks) => {
    const missing = disks.filter((disk) => disk.missing);
    if (missing.length === 0) return [];
    return [
      {
        level: 'critical',
        what: `${missing.length} of the ${disks.length} disks of the store ${missing.length === 1 ? 'is' : 'are'} missing`,
        fix: 'put a new disk in, then: btrfs replace start (see btrfs filesystem show)',
      },
    ];
  }),
  check('disk-errors', 'disks', (disks) =>
    disks
      .filter(({ errors }) => Object.keys(errors).length > 0)
      .map((disk) => ({
        level: 'critical' as const,
        what: `disk ${disk.id} of the store has had errors: ${errorsInWords(disk)}`,
        fix: 'byteback scrub; when the disk is mended or replaced: btrfs device stats --reset on the store',
      })),
  ),
  check('quota-inconsistent', 'quota', ({ inconsistent }) =>
    inconsistent
      ? [
          {
            level: 'warning',
            what: 'the quotas of the store are inconsistent: what each client is charged is not right',
            fix: 'btrfs quota rescan on the store',
          },
        ]
      : [],
  ),
  check('scrub-overdue', 'scrub', ({ at, storeMadeAt }, { nowMs }) => {
    const since = at ?? storeMadeAt;
    if (since === null || nowMs - Date.parse(since) <= scrubEveryMs) return [];
    const days = Math.floor((nowMs - Date.parse(since)) / dayMs);
    return [
      {
        level: 'warning',
        what:
          at === null
            ? `the store was never scrubbed, and is ${days} days old`
            : `the store was not scrubbed for ${days} days`,
        fix: 'byteback scrub; then find out why its timer does not run: systemctl list-timers',
      },
    ];
  }),
  check('damaged-files', 'scrub', ({ damagedFiles, unplaced }, { facts, nowMs }) =>
    damagedFiles + unplaced === 0 || isTold(facts, nowMs)
      ? []
      : [
          {
            level: 'critical',
            what: `the last scrub found damage: ${damagedFiles} files of clients${unplaced === 0 ? '' : `, and ${unplaced} errors elsewhere`}`,
            fix: 'byteback scrub --list',
            isTold: true,
          },
        ],
  ),
  check('store-short', 'space', ({ state, path, inWords }) =>
    state === 'short'
      ? [
          {
            level: 'critical',
            what: `${path}: ${inWords}`,
            fix: 'byteback-prune --list says what may still go; otherwise: a larger disk',
          },
        ]
      : [],
  ),
];

/** The event of the scrub itself says more. */
function isTold({ events }: HealthFacts, nowMs: number): boolean {
  const past = 'value' in events ? events.value : [];
  return past.some(({ kind, at }) => kind === 'bitrot' && nowMs - Date.parse(at) <= 30 * dayMs);
}

function errorsInWords({ errors }: DiskFact): string {
  return Object.entries(errors)
    .map(([kind, count]) => `${count} ${kind.replace(/_errs$/, '')}`)
    .join(', ');
}
