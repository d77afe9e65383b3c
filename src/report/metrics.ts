import type { ClientStatus, ServerStatus } from './fleet.ts';

/** One sample: the labels by name, and the value. */
interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

/**
 * The status as Prometheus's text format 0.0.4, for node_exporter's textfile collector: gauges only, base units (seconds,
 * bytes, ratios), no timestamps, which that collector refuses. Pure.
 */
export function metricsText(status: ServerStatus, about: { readonly version: string }): string {
  const { store, clients, alerts } = status;
  const now = Date.parse(status.at) / 1000;
  const parts: string[] = [];
  const gauge = (name: string, help: string, samples: readonly Sample[]) => {
    if (samples.length === 0) return;
    parts.push(`# HELP byteback_${name} ${help}\n# TYPE byteback_${name} gauge\n`);
    for (const { labels = {}, value } of samples)
      parts.push(`byteback_${name}${labelText(labels)} ${valueText(value)}\n`);
  };
  const isThere = store.state !== 'away';
  const store1 = (value: number): Sample[] => (isThere ? [{ labels: { store: store.path }, value }] : []);
  const perClient = (value: (client: ClientStatus) => number | null | undefined): Sample[] =>
    clients.flatMap((client) => {
      const one = value(client);
      return one === null || one === undefined ? [] : [{ labels: { client: client.name }, value: one }];
    });

  gauge('build_info', 'Always 1; the version is a label.', [{ labels: { version: about.version }, value: 1 }]);
  gauge('status_timestamp_seconds', 'When these metrics were written.', [{ value: now }]);
  gauge('store_present', '1 when the store is there; without it there is no figure of it.', [
    { labels: { store: store.path }, value: Number(isThere) },
  ]);
  gauge('store_size_bytes', 'Size of the store.', store1(store.totalBytes));
  gauge(
    'store_free_bytes',
    'Free space in the store. A store full of history has little: see byteback_store_short.',
    store1(store.freeBytes),
  );
  gauge('store_history_bytes', 'What all snapshots hold beyond the newest trees.', store1(store.historyBytes));
  gauge('store_expected_bytes', 'What the backups of the next day are expected to write.', store1(store.nextRunsBytes));
  gauge(
    'store_prune_start_ratio',
    'Pruning begins when a smaller part of the store is free.',
    store1(store.pruneBelowPercent / 100),
  );
  gauge('store_short', '1 when room is missing that pruning does not give.', store1(store.state === 'short' ? 1 : 0));
  gauge(
    'store_next_backups_fit',
    '1 when the backups of the next day have room, or history that may go for them.',
    store1(store.nextRunsFit ? 1 : 0),
  );
  gauge('clients', 'Clients, by whether they have a key.', [
    { labels: { state: 'registered' }, value: clients.filter(({ registered }) => registered).length },
    { labels: { state: 'revoked' }, value: clients.filter(({ registered }) => !registered).length },
  ]);
  gauge('alerts', 'What somebody should look at, as byteback status tells it.', [
    { labels: { severity: 'critical' }, value: alerts.filter(({ level }) => level === 'critical').length },
    { labels: { severity: 'warning' }, value: alerts.filter(({ level }) => level === 'warning').length },
  ]);
  gauge(
    'finding',
    'What each check of the health found: how often, by its level.',
    [...new Map(alerts.map((alert) => [`${alert.id} ${alert.level}`, alert])).values()].map(({ id, level }) => ({
      labels: { check: id, severity: level },
      value: alerts.filter((alert) => alert.id === id && alert.level === level).length,
    })),
  );
  gauge(
    'client_registered',
    '1 when the client has a key and may send.',
    perClient(({ registered }) => Number(registered)),
  );
  gauge(
    'client_last_backup_timestamp_seconds',
    'Time of the newest snapshot.',
    perClient(({ newest }) => newest && Date.parse(newest.at) / 1000),
  );
  gauge(
    'client_last_backup_partial',
    '1 when some files could not be read in the newest backup.',
    perClient(({ newest }) => newest && Number(newest.status === 'partial')),
  );
  gauge(
    'client_last_backup_duration_seconds',
    'How long the newest backup took, waits included.',
    perClient(({ newest }) => (newest?.durationMs == null ? null : newest.durationMs / 1000)),
  );
  gauge(
    'client_last_backup_sent_bytes',
    'Content that the newest backup sent.',
    perClient(({ newest }) => newest?.sentBytes),
  );
  gauge(
    'client_size_bytes',
    'All files in the newest snapshot, as the client counted them.',
    perClient(({ newest }) => newest?.totalBytes),
  );
  gauge(
    'client_files',
    'Files in the newest snapshot, as the client counted them.',
    perClient(({ newest }) => newest?.files),
  );
  gauge(
    'client_backup_interval_seconds',
    'The usual time between two backups.',
    perClient(({ rhythmMs }) => (rhythmMs === null ? null : rhythmMs / 1000)),
  );
  gauge(
    'client_overdue',
    '1 when the newest snapshot is much older than the rhythm lets expect.',
    perClient(({ registered, overdue }) => Number(registered && overdue)),
  );
  gauge(
    'client_snapshots',
    'Snapshots that there are.',
    perClient(({ snapshots }) => snapshots),
  );
  gauge(
    'client_held_snapshots',
    'Snapshots that are held until they are released.',
    perClient(({ held }) => held),
  );
  gauge(
    'client_oldest_snapshot_timestamp_seconds',
    'Time of the oldest snapshot.',
    perClient(({ oldestAt }) => (oldestAt === null ? null : Date.parse(oldestAt) / 1000)),
  );
  gauge(
    'client_history_bytes',
    'What its snapshots hold beyond its newest tree.',
    perClient(({ historyBytes }) => historyBytes),
  );
  gauge(
    'client_pruning_paused',
    '1 while the destruction guard keeps all its snapshots.',
    perClient(({ pruningPaused }) => Number(pruningPaused !== null)),
  );
  gauge(
    'client_restore_proven_timestamp_seconds',
    'When a restore of the client was last proven; missing when never.',
    perClient(({ lastProven }) => lastProven && Date.parse(lastProven.at) / 1000),
  );
  gauge(
    'client_transfers',
    'Transfers that are under way.',
    perClient(({ running }) => running.length),
  );
  return parts.join('');
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

/** A label's value may hold anything once these three are escaped. */
function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function valueText(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  return String(value);
}
