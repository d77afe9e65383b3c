import type { MailConfig } from '../../config/server-config.ts';
import { reasonOf } from '../../errors.ts';
import { shownAddress } from '../../report/webhooks.ts';
import type { Clock } from '../../system/clock.ts';
import { callAddress } from '../../system/http.ts';
import type { Log } from '../../system/log.ts';
import { MailError, sendMail } from '../../system/mail.ts';
import { type Post, readQueue, removeEntry, type SpoolEntry, writeEntry } from './spool.ts';

/** How the queue was left. */
export interface Drained {
  readonly sent: number;
  readonly waiting: number;
}

export interface DrainDeps {
  readonly spool: string;
  readonly mail: MailConfig;
  /** The server's name. */
  readonly server: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** One round ends after this long, whatever still waits: the timer goes on. */
const roundMs = 3 * 60_000;
const callTimeoutMs = 10_000;
const firstDelayMs = 60_000;
const longestDelayMs = 60 * 60_000;

/** Sends what is due. What does not go waits longer and longer, and is dropped, and logged, when it is pointless. */
export async function drain({ spool, mail, server, clock, log }: DrainDeps): Promise<Drained> {
  const begunMs = performance.now();
  let sent = 0;
  let mailIsAway: string | undefined;
  const awayHosts = new Map<string, string>();
  for (const entry of await readQueue(spool)) {
    const now = clock.now();
    const nowText = now.toISOString();
    if (entry.until < nowText) {
      log.warn(`given up: ${shown(entry.post)}: ${entry.lastError ?? 'it was never tried'}`);
      await removeEntry(spool, entry);
      continue;
    }
    // One made in the future was made before the clock was set back.
    if ((entry.nextAt > nowText && entry.madeAt <= nowText) || performance.now() - begunMs > roundMs) continue;
    const host = entry.post.kind === 'call' ? new URL(entry.post.address).host : undefined;
    const away = host === undefined ? mailIsAway : awayHosts.get(host);
    try {
      if (away !== undefined) throw new MailError(away, true);
      await send(entry, { mail, server });
      await removeEntry(spool, entry);
      sent += 1;
      log.step(`sent: ${shown(entry.post)}`);
    } catch (error) {
      const reason = reasonOf(error);
      if (host !== undefined) awayHosts.set(host, reason);
      else if (error instanceof MailError && error.isWayClosed) mailIsAway = reason;
      if (away === undefined) log.warn(`not sent: ${shown(entry.post)}: ${reason}`);
      await writeEntry(spool, postponed(entry, now, reason));
    }
  }
  return { sent, waiting: (await readQueue(spool)).length };
}

/** The same entry for its next attempt: after a minute, then twice as long each time, at most an hour. */
export function postponed(entry: SpoolEntry, now: Date, reason: string): SpoolEntry {
  const delayMs = Math.min(longestDelayMs, firstDelayMs * 2 ** Math.min(entry.attempts, 10));
  return {
    ...entry,
    attempts: entry.attempts + 1,
    nextAt: new Date(now.getTime() + delayMs).toISOString(),
    lastError: reason.slice(0, 500),
  };
}

async function send(
  { id, madeAt, post }: SpoolEntry,
  { mail, server }: Pick<DrainDeps, 'mail' | 'server'>,
): Promise<void> {
  if (post.kind === 'call') return callAddress(post.address, post.body, callTimeoutMs);
  await sendMail(
    {
      from: mail.from ?? `byteback@${server}`,
      to: post.to,
      subject: post.subject,
      text: post.text,
      html: post.html,
      messageId: `<${id}.byteback@${server}>`,
      date: new Date(madeAt),
    },
    mail,
  );
}

/** An entry in a log: no address of a web hook is told whole. */
export function shown(post: Post): string {
  return post.kind === 'mail'
    ? `mail to ${post.to.join(', ')}: ${post.subject}`
    : `call of ${shownAddress(post.address)}`;
}
