import type { ClientConfig } from '../config/client-config.ts';
import { BytebackError, exitCodes, reasonOf } from '../errors.ts';
import { pingAddress, type Signal, shownAddress } from '../report/webhooks.ts';
import { callAddress } from '../system/http.ts';
import type { Log } from '../system/log.ts';
import type { RunReport } from './run-backup.ts';

/** Whoever watches this client is called for so long, and no longer. */
const timeoutMs = 5000;

/**
 * Tells those whom client.toml names that a run begins and how it ended. What cannot be told is logged and forgotten: no backup
 * fails or waits for it, but for a few seconds at its end.
 */
export async function withCalls(
  { ping, webhook, destination }: Pick<ClientConfig, 'ping' | 'webhook' | 'destination'>,
  log: Log,
  act: () => Promise<RunReport>,
): Promise<RunReport> {
  const call = async (address: string, body?: object) => {
    try {
      await callAddress(address, body, timeoutMs);
    } catch (error) {
      log.info(`not told: ${shownAddress(address)}: ${reasonOf(error)}`);
    }
  };
  const signal = (kind: Signal) => (ping === undefined ? undefined : call(pingAddress(ping, kind)));
  const post = (body: object) =>
    webhook === undefined ? undefined : call(webhook, { format: 1, event: 'run', destination, ...body });
  // While the run goes on already.
  const begun = signal('start');
  try {
    const report = await act();
    await begun;
    await signal(report.status === 'ok' ? 'success' : 'fail');
    const { status, run, snapshot, figures, unread } = report;
    await post({ status, run, snapshot, figures, unread: unread.length });
    return report;
  } catch (error) {
    await begun;
    // Another run is going on: that one says how it ends.
    if (!(error instanceof BytebackError && error.exit === 'locked')) await signal('fail');
    const explained = error instanceof BytebackError ? error.explanation : { what: reasonOf(error) };
    const exitCode = error instanceof BytebackError ? error.exitCode : exitCodes.bug;
    await post({ status: 'failed', exitCode, error: explained });
    throw error;
  }
}
