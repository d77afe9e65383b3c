import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import * as v from 'valibot';
import { serverPaths } from '../../config/paths.ts';
import { MailAddress } from '../../config/values.ts';
import { BytebackError, reasonOf } from '../../errors.ts';
import { type ClientName, parseClientName } from '../../protocol/names.ts';
import { isBadRun, runReport, testMail } from '../../report/mail.ts';
import type { Clock } from '../../system/clock.ts';
import { isMissing } from '../../system/files.ts';
import { type Log, silentLog } from '../../system/log.ts';
import { sendMail } from '../../system/mail.ts';
import { listClientNames, listSnapshotNames, openStore } from '../store.ts';
import { parseRecord } from './collect.ts';
import { shown } from './drain.ts';
import { look } from './round.ts';
import { thisServersPost } from './send.ts';
import { readQueue, readState } from './spool.ts';

/** A mail as `byteback report` shows it. */
export interface PreviewedMail {
  readonly to: readonly string[];
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

/** The mail about the newest run of a client, or of each client that has one. */
export async function previewRun(client: string | undefined, { clock }: { clock: Clock }): Promise<PreviewedMail[]> {
  const { config, server } = await thisServersPost({ clock, log: silentLog });
  const store = await openStore(config);
  const all = await listClientNames(store);
  const names = client === undefined ? all : all.filter((name) => name === parseClientName(client));
  const mails: PreviewedMail[] = [];
  for (const name of names) {
    const run = await newestRun(name);
    if (run === undefined) continue;
    const { report, errors } = config.policyOf(name);
    const to = [...new Set(isBadRun(run) ? [...report, ...(errors ?? config.mail.admin)] : report)];
    mails.push({ to, ...runReport(run, { server }) });
  }
  return mails;

  async function newestRun(name: ClientName) {
    const snapshot = (await listSnapshotNames(store, name)).at(-1);
    if (snapshot === undefined) return undefined;
    try {
      return parseRecord(await readFile(store.snapshotRunFile(name, snapshot), 'utf8'));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }
}

/** The mails that a round would make now; what it would write down as an event is told all the same. */
export async function previewPost(deps: { clock: Clock; log: Log }): Promise<PreviewedMail[]> {
  const post = await thisServersPost(deps);
  const now = deps.clock.now();
  const { made } = await look(await readState(post.spool, now), { ...post, record: async () => undefined }, now);
  return made.flatMap(({ post: { kind, ...mail } }) => (kind === 'mail' ? [mail as PreviewedMail] : []));
}

/** Something that waits, as a person may see it. */
export interface QueuedPost {
  readonly madeAt: string;
  readonly what: string;
  readonly attempts: number;
  readonly nextAt: string;
  readonly lastError?: string;
}

/** What waits, oldest first. */
export async function readWaiting(): Promise<QueuedPost[]> {
  return (await readQueue(serverPaths.spool)).map(({ madeAt, attempts, nextAt, lastError, post }) => ({
    madeAt,
    what: shown(post),
    attempts,
    nextAt,
    ...(lastError === undefined ? {} : { lastError }),
  }));
}

/** Sends a mail now, past the queue. @returns who got it. @throws BytebackError unreachable when it does not go. */
export async function sendTest(to: string | undefined, { clock }: { clock: Clock }): Promise<readonly string[]> {
  const { config } = await thisServersPost({ clock, log: silentLog });
  if (to !== undefined && !v.is(MailAddress, to)) {
    throw new BytebackError('usage', { what: `no mail address: ${JSON.stringify(to)}` });
  }
  const readers = to === undefined ? config.mail.admin : [to];
  const now = clock.now();
  const server = hostname();
  const { subject, text, html } = testMail(now.toISOString(), { server });
  try {
    const messageId = `<${now.getTime()}-${randomBytes(8).toString('hex')}.byteback@${server}>`;
    const from = config.mail.from ?? `byteback@${server}`;
    await sendMail({ from, to: readers, subject, text, html, messageId, date: now }, config.mail);
  } catch (error) {
    throw new BytebackError(
      'unreachable',
      {
        what: `no mail to ${readers.join(', ')}`,
        why: reasonOf(error),
        fix: `look at [mail] in ${serverPaths.serverToml}; without smtp there, a sendmail is needed: apt-get install msmtp-mta`,
      },
      { cause: error },
    );
  }
  return readers;
}
