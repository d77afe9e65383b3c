import { countEvents, type ReportedRun, type ToldEvent } from './mail.ts';

/** What a run or a client's own run is to whoever watches it from outside. */
export type Signal = 'start' | 'success' | 'fail';

/**
 * The address to call, in the manner of healthchecks.io: the check's own when all went well, `/start` and `/fail` below it. A query
 * stays where it is.
 */
export function pingAddress(base: string, signal: Signal): string {
  if (signal === 'success') return base;
  const url = new URL(base);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/${signal}`;
  return url.href;
}

/** What is posted of a run on the server. */
export function runPayload(run: ReportedRun, server: string): object {
  const { client, run: id, preparedAt, completedAt, snapshot, status, figures, unread = [] } = run;
  return {
    format: 1,
    event: 'run',
    server,
    client,
    run: id,
    status,
    snapshot,
    preparedAt,
    completedAt,
    figures,
    unread: unread.length,
  };
}

/** What is posted of what the admin hears of. */
export function alertPayload(events: readonly ToldEvent[], server: string): object {
  return { format: 1, event: 'alert', server, count: countEvents(events), events: events.slice(0, 100) };
}

/** An address as it may be shown: where it goes, without what may be a secret in it. */
export function shownAddress(address: string): string {
  const { protocol, host } = new URL(address);
  return `${protocol}//${host}/…`;
}
