import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type MailServer, startMailServer } from '../../test/helpers/mail-server.ts';
import { callAddress } from './http.ts';
import { sendMail } from './mail.ts';

let server: MailServer;
let directory: string;
const mail = {
  from: 'byteback@vault',
  to: ['ops@example.net'],
  subject: 'Grüße \u{1f600} <b>',
  text: '.\nFrom here\n',
  html: '<p>x</p>',
  messageId: '<1@vault>',
  date: new Date('2026-11-20T03:00:00Z'),
};

beforeAll(async () => {
  server = await startMailServer();
  directory = await mkdtemp(join(tmpdir(), 'byteback-mail-'));
  await writeFile(join(directory, 'good'), 'pass word\nanything\n');
  await writeFile(join(directory, 'bad'), 'wrong-secret');
  await chmod(join(directory, 'good'), 0o600);
});
afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

describe('a mail by SMTP', () => {
  it('logs in with the password of the file, and arrives whole in both forms', async () => {
    await sendMail(mail, { smtp: `smtp://me@127.0.0.1:${server.port}`, smtpPasswordFile: join(directory, 'good') });
    expect(server.mails.at(-1)).toMatchObject({ from: 'byteback@vault', to: ['ops@example.net'], user: 'me' });
    const source = server.mails.at(-1)?.source ?? '';
    expect(source).toContain('multipart/alternative');
    expect(source).toContain('Auto-Submitted: auto-generated');
    expect(source).toContain('Message-ID: <1@vault>');
  });

  it('that is refused says why, and never the password', async () => {
    const way = { smtp: `smtp://me@127.0.0.1:${server.port}`, smtpPasswordFile: join(directory, 'bad') };
    const error = await sendMail(mail, way).then(
      () => undefined,
      (reason: unknown) => reason as Error,
    );
    expect(error).toMatchObject({ name: 'MailError', isWayClosed: true });
    expect(`${error?.message} ${error?.stack}`).not.toContain('wrong-secret');
    const inAddress = sendMail(mail, { smtp: `smtp://me:wrong-secret@127.0.0.1:${server.port}` });
    await expect(inAddress).rejects.toThrow(/^127\.0\.0\.1: (?!.*wrong-secret)/);
  });

  it('to a server that is away fails at once', async () => {
    await expect(sendMail(mail, { smtp: 'smtp://127.0.0.1:1' })).rejects.toMatchObject({ isWayClosed: true });
  });
});

describe('a call of an address', () => {
  it('posts JSON; an answer that is no success is an error without the secret part of the address', async () => {
    const got: unknown[] = [];
    const web = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      request.on('end', () => {
        got.push([request.method, request.url, request.headers.authorization, body]);
        response.statusCode = request.url === '/no/secret' ? 404 : 200;
        response.end();
      });
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => web.once('listening', resolve));
    const { port } = web.address() as AddressInfo;
    try {
      await callAddress(`http://me:word@127.0.0.1:${port}/yes`, { a: 1 }, 5000);
      expect(got).toEqual([['POST', '/yes', `Basic ${Buffer.from('me:word').toString('base64')}`, '{"a":1}']]);
      await expect(callAddress(`http://127.0.0.1:${port}/no/secret`, undefined, 5000)).rejects.toThrow(
        new Error(`127.0.0.1:${port} answered 404`),
      );
    } finally {
      web.close();
      web.closeAllConnections();
    }
    await expect(callAddress(`http://127.0.0.1:1/secret`, undefined, 5000)).rejects.toThrow(
      /^no answer from 127\.0\.0\.1:1: (?!.*secret)/,
    );
  });
});
