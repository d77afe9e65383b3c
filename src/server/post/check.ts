import { stat } from 'node:fs/promises';
import { serverPaths } from '../../config/paths.ts';
import type { ServerConfig } from '../../config/server-config.ts';
import type { Verdict } from '../../findings.ts';
import { ageWords, countWords } from '../../report/words.ts';
import type { Clock } from '../../system/clock.ts';
import { isMissing } from '../../system/files.ts';
import { findSendmail } from '../../system/mail.ts';
import { shown } from './drain.ts';
import { readQueue } from './spool.ts';

/** What doctor says of mails: is there a way out, does anything wait, is a password where everybody can read it. */
export async function checkMail({ mail }: Pick<ServerConfig, 'mail'>, clock: Clock): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  if (mail.admin.length === 0) {
    verdicts.push({
      state: 'warning',
      what: 'nobody is told of alerts',
      fix: `set admin under [mail] in ${serverPaths.serverToml}`,
    });
  }
  if (mail.smtp === undefined && (await findSendmail()) === undefined) {
    verdicts.push({
      state: 'warning',
      what: 'no mail leaves this machine: there is no sendmail',
      why: 'reports and alerts wait in the queue for five days',
      fix: `install a mail server (apt-get install msmtp-mta), or set smtp under [mail] in ${serverPaths.serverToml}`,
    });
  }
  if (mail.smtp !== undefined) verdicts.push(...(await checkSmtp(mail.smtp, mail)));
  const waiting = (await readQueue(serverPaths.spool)).filter(({ attempts }) => attempts > 0);
  const [oldest] = waiting;
  if (oldest !== undefined) {
    const age = ageWords(clock.now().getTime() - Date.parse(oldest.madeAt));
    verdicts.push({
      state: 'warning',
      what: `${countWords(waiting.length, 'message')} did not go yet, the oldest for ${age}: ${shown(oldest.post)}`,
      ...(oldest.lastError === undefined ? {} : { why: oldest.lastError }),
      fix: 'byteback report --test',
    });
  }
  return verdicts.length > 0 ? verdicts : [`alerts go to ${mail.admin.join(', ')}`];
}

async function checkSmtp(smtp: string, mail: ServerConfig['mail']): Promise<Verdict[]> {
  const url = new URL(smtp);
  const verdicts: Verdict[] = [];
  const locals = mail.admin.filter((address) => !address.includes('@'));
  if (locals.length > 0) {
    verdicts.push({
      state: 'warning',
      what: `${locals.join(', ')}: a mail server elsewhere does not know users of this machine`,
      fix: `set admin under [mail] in ${serverPaths.serverToml} to an address`,
    });
  }
  if (url.password !== '' && (await othersCanRead(serverPaths.serverToml))) {
    verdicts.push({
      state: 'warning',
      what: `the password of ${url.host} can be read by every user of this machine`,
      why: `it stands in ${serverPaths.serverToml}`,
      fix: `chmod 0600 ${serverPaths.serverToml}`,
    });
  }
  const file = mail.smtpPasswordFile;
  if (file !== undefined && (await othersCanRead(file)) !== false) {
    verdicts.push({
      state: 'warning',
      what: `${file} is missing, or others can read it`,
      fix: `chown root: ${file}; chmod 0600 ${file}`,
    });
  }
  return verdicts;
}

/** Undefined when there is no such file. */
async function othersCanRead(path: string): Promise<boolean | undefined> {
  try {
    return ((await stat(path)).mode & 0o044) !== 0;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
