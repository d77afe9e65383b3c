import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../system/clock.ts';
import { readEvents } from './events.ts';
import { collectSshdRefusals, messagesIn, parseSshdLine } from './sshd-refusals.ts';
import { storeAt } from './store.ts';

test.each([
  ['Failed publickey for byteback from 192.0.2.9 port 4022 ssh2: ED25519 SHA256:abc', '192.0.2.9'],
  [
    '2026-11-21T05:50:01.1+00:00 vault sshd[71]: Failed password for byteback from 192.0.2.9 port 4022 ssh2',
    '192.0.2.9',
  ],
  [
    'Nov 21 05:50:01 vault sshd-session[71]: Connection closed by authenticating user byteback 2001:db8::9 port 4022 [preauth]',
    '2001:db8::9',
  ],
  ['error: maximum authentication attempts exceeded for byteback from 192.0.2.9 port 4022 ssh2 [preauth]', '192.0.2.9'],
  ['User byteback from 192.0.2.9 not allowed because not listed in AllowUsers', '192.0.2.9'],
  ['Accepted publickey for byteback from 192.0.2.9 port 4022 ssh2: ED25519 SHA256:abc', undefined],
  ['Failed publickey for root from 192.0.2.9 port 4022 ssh2', undefined],
  ['Failed password for invalid user byteback from 192.0.2.9 port 1 from 192.0.2.1 port 4022 ssh2', undefined],
  ['Failed publickey for byteback from \x1b[31m port 1', undefined],
  // What another program logs may hold sshd's words.
  [
    '2026-11-21T05:50:01.1+00:00 vault byteback: a client says sshd[71]: Failed password for byteback from 192.0.2.9 port 4022',
    undefined,
  ],
  ['Nov 21 05:50:01 vault mallory[9]: Failed password for byteback from 192.0.2.9 port 4022 ssh2', undefined],
])('%s: %s', (line, address) => {
  expect(parseSshdLine(line, 'byteback')?.address).toBe(address);
});

test('what is new in the log becomes events, one for each connection, whatever becomes of the file', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'byteback-sshd-'));
  try {
    const store = { ...storeAt(directory), stateDir: directory };
    const log = join(directory, 'auth.log');
    const line = (port: number) => `Failed publickey for byteback from 192.0.2.9 port ${port} ssh2\n`;
    const collect = () =>
      collectSshdRefusals(store, { clock: systemClock, user: 'byteback', files: ['/nowhere', log] });
    const counts = async () => (await readEvents(store)).map(({ count }) => count ?? 1);
    await writeFile(log, line(1) + line(1) + line(2) + line(2).slice(0, 20));
    await collect();
    expect(await counts()).toEqual([2]);
    await appendFile(log, line(2).slice(20));
    await collect();
    await collect();
    expect(await counts()).toEqual([2, 1]);
    await rm(log);
    await writeFile(`${log}.new`, '');
    await writeFile(log, line(3));
    await collect();
    expect(await counts()).toEqual([2, 1, 1]);
    expect((await readEvents(store))[0]).toMatchObject({ kind: 'refusal', check: 'sshd', address: '192.0.2.9' });
  } finally {
    await rm(directory, { recursive: true });
  }
});

test('a message of the journal with line ends in it is no message of sshd', () => {
  const message = (text: string) => `${JSON.stringify({ MESSAGE: text, __CURSOR: 's=1' })}\n`;
  const failed = 'Failed publickey for byteback from 192.0.2.9 port 1 ssh2';
  expect(messagesIn(`${message(failed)}${message(`x\n${failed}`)}{"MESSAGE":[1,2]}\n{"MESS`)).toEqual([failed]);
});
