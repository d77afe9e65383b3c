import type { ServerConfig } from '../../config/server-config.ts';
import { type Forecast, forecast } from '../../retention/forecast.ts';
import { historyBytes } from '../../retention/history.ts';
import { freeSpace } from '../../system/btrfs.ts';
import type { Clock } from '../../system/clock.ts';
import type { Log } from '../../system/log.ts';
import { readLedger } from '../ledger.ts';
import type { Store } from '../store.ts';

/** How far back the history of each client goes, and how far it would go with more disk. */
export interface StoreForecast {
  /** The extra disk that the forecast supposes, in bytes. */
  readonly extraBytes: number;
  readonly clients: readonly Forecast[];
}

const gigabyte = 1_000_000_000;

/** A tenth of the disk, as a round number of gigabytes or megabytes. */
function roundExtra(totalBytes: number): number {
  const tenth = totalBytes / 10;
  const power = 10 ** Math.floor(Math.log10(Math.max(tenth, 1_000_000)));
  return Math.max(1, Math.floor(tenth / power)) * power;
}

/** Reads it from the ledger; nothing is measured. Clients without a snapshot that was seen by a prune are left out. */
export async function readForecast(
  { config, store, clock, log }: { config: ServerConfig; store: Store; clock: Clock; log: Log },
  extraBytes?: number,
): Promise<StoreForecast> {
  const [ledger, { totalBytes }] = await Promise.all([readLedger(store, log), freeSpace(store.root)]);
  const extra = extraBytes ?? (totalBytes > 400 * gigabyte ? 100 * gigabyte : roundExtra(totalBytes));
  const inputs = Object.entries(ledger.clients).flatMap(([client, { history }]) => {
    const oldest = history.entries[0];
    if (oldest === undefined) return [];
    return [
      {
        client,
        weight: config.policyOf(client as Parameters<ServerConfig['policyOf']>[0]).weight,
        historyBytes: historyBytes(history.entries),
        snapshots: history.entries.length,
        oldest: oldest.time,
        pruned: history.thinned,
      },
    ];
  });
  return { extraBytes: extra, clients: forecast(inputs, clock.now().getTime(), extra) };
}

/** "web1: 143 days of history at today's churn; 100 GB more disk would give 184". */
export function forecastInWords({ client, depthDays, ...rest }: Forecast, extraBytes: number): string {
  const days = (number: number) => `${Math.round(number)} ${Math.round(number) === 1 ? 'day' : 'days'}`;
  if (!rest.limitedBySpace) return `${client}: ${days(depthDays)} of history, all that there is; nothing had to go yet`;
  const more = rest.depthWithMoreDays;
  const extra =
    extraBytes >= gigabyte ? `${Math.round(extraBytes / gigabyte)} GB` : `${Math.round(extraBytes / 1_000_000)} MB`;
  const gain =
    more === undefined || Math.round(more) <= Math.round(depthDays)
      ? ''
      : `; ${extra} more disk would give ${Math.round(more)}`;
  return `${client}: ${days(depthDays)} of history at today's churn${gain}`;
}
