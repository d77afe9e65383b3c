import { readFile } from 'node:fs/promises';
import { reasonOf } from '../errors.ts';
import { findProgram } from './programs.ts';
import { run } from './run.ts';

/** How mails leave this machine. */
export interface MailWay {
  /** `smtp://` or `smtps://`, user and password in it where they are needed; undefined: the machine's own sendmail. */
  readonly smtp?: string | undefined;
  /** Its first line is the password. */
  readonly smtpPasswordFile?: string | undefined;
}

/** One mail, ready to go. */
export interface OutgoingMail {
  readonly from: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly text: string;
  readonly html: string;
  /** The same each time that it is tried, so that a reader's mail program knows a copy. */
  readonly messageId: string;
  readonly date: Date;
}

/** A mail that did not go. */
export class MailError extends Error {
  /** True when no other mail would go now, either: the mail server is away, or there is no sendmail. */
  readonly isWayClosed: boolean;

  constructor(message: string, isWayClosed: boolean) {
    super(message);
    this.name = 'MailError';
    this.isWayClosed = isWayClosed;
  }
}

const timeoutMs = 30_000;

/** Where sendmail is, or undefined on a machine without any. */
export function findSendmail(): Promise<string | undefined> {
  return findProgram('sendmail');
}

/** Hands a mail over. @throws MailError when it does not go, in words without any password. */
export async function sendMail(mail: OutgoingMail, way: MailWay): Promise<void> {
  if (way.smtp === undefined) return sendLocally(mail);
  await sendBySmtp(mail, way.smtp, way.smtpPasswordFile);
}

/** The message as it travels: plain text and HTML, both in a form that any mail server takes. */
async function compose(mail: OutgoingMail): Promise<Buffer> {
  const { default: MailComposer } = await import('nodemailer/lib/mail-composer');
  return await new MailComposer({
    from: { name: 'byteback', address: mail.from },
    to: mail.to.map((address) => ({ name: '', address })),
    subject: mail.subject,
    text: mail.text,
    html: mail.html,
    messageId: mail.messageId,
    date: mail.date,
    // No holiday note comes back.
    headers: { 'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'All' },
    disableFileAccess: true,
    disableUrlAccess: true,
  })
    .compile()
    .build();
}

async function sendLocally(mail: OutgoingMail): Promise<void> {
  const program = await findSendmail();
  if (program === undefined) throw new MailError('there is no sendmail on this machine', true);
  try {
    // Without shell, addresses after "--"; -i: a line with a dot only does not end the mail.
    await run([program, '-i', '-f', mail.from, '--', ...mail.to], { input: await compose(mail), timeoutMs });
  } catch (error) {
    throw new MailError(reasonOf(error).slice(0, 500), false);
  }
}

async function sendBySmtp(mail: OutgoingMail, address: string, passwordFile: string | undefined): Promise<void> {
  const { createTransport } = await import('nodemailer');
  const url = new URL(address);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const secure = url.protocol === 'smtps:';
  const user = decodeURIComponent(url.username);
  const pass = await passwordOf(url, passwordFile);
  const isOwn = /^(?:localhost|127\.\d+\.\d+\.\d+|::1)$/.test(host);
  const transport = createTransport({
    host,
    port: url.port === '' ? (secure ? 465 : 25) : Number(url.port),
    secure,
    // A password never travels in the clear, but to this very machine.
    requireTLS: !secure && user !== '' && !isOwn,
    ignoreTLS: !secure && isOwn,
    ...(user === '' ? {} : { auth: { user, pass } }),
    connectionTimeout: 10_000,
    greetingTimeout: 10_000,
    socketTimeout: timeoutMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  try {
    await transport.sendMail({ envelope: { from: mail.from, to: [...mail.to] }, raw: await compose(mail) });
  } catch (error) {
    const { code, message } = error as { code?: string; message?: string };
    const words = `${host}: ${String(message ?? error)}`;
    const isWayClosed = code !== 'EENVELOPE' && code !== 'EMESSAGE';
    throw new MailError(pass === '' ? words : words.replaceAll(pass, '…'), isWayClosed);
  } finally {
    transport.close();
  }
}

async function passwordOf(url: URL, file: string | undefined): Promise<string> {
  if (file === undefined) return decodeURIComponent(url.password);
  try {
    return (await readFile(file, 'utf8')).split('\n')[0]?.trim() ?? '';
  } catch (error) {
    throw new MailError(`cannot read the password: ${reasonOf(error)}`, true);
  }
}
