import { describe, expect, test } from 'vitest';
import { BytebackError } from '../errors.ts';
import { type ClientName, parseClientName } from '../protocol/names.ts';
import { loadServerConfig, parseServerConfig } from './server-config.ts';

const name = (text: string) => parseClientName(text) as ClientName;

/** What is said of a bad configuration. */
function complaint(text: string) {
  try {
    parseServerConfig('/etc/byteback/server.toml', text);
  } catch (error) {
    if (!(error instanceof BytebackError)) throw error;
    expect(error.exit).toBe('usage');
    return error.explanation;
  }
  throw new Error('it was accepted');
}

describe('a good configuration', () => {
  test('an empty one is all defaults', () => {
    const config = parseServerConfig('server.toml', '');
    expect(config).toMatchObject({
      store: '/byteback',
      user: 'byteback',
      snapshotsPerDay: 48,
      idleTimeoutMs: 600_000,
      prune: { startPercent: 5, stopPercent: 10, keepLast: 3, growthFactor: 10 },
    });
    expect(config.policyOf(name('web1'))).toEqual({
      weight: 1,
      from: [],
      window: [],
      allow: ['prepare', 'transfer', 'complete', 'restore'],
      report: [],
    });
  });

  test('a client’s own table goes before [default], key by key', () => {
    const config = parseServerConfig(
      'server.toml',
      `store = "//srv/store/"
      [default]
      keep = "7d 4w 13m"
      from = "192.0.2.0/24"
      [client."web1.example.net"]
      weight = 2
      from = ["192.0.2.7", "2001:db8::/32"]
      window = "02:00±30m"
      allow = ["prepare", "transfer", "complete"]
      report = "ops@example.net"
      snapshots_per_day = 4`,
    );
    expect(config.store).toBe('/srv/store');
    expect(config.policyOf(name('web1.example.net'))).toEqual({
      weight: 2,
      keep: '7d 4w 13m',
      from: ['192.0.2.7', '2001:db8::/32'],
      window: ['02:00±30m'],
      allow: ['prepare', 'transfer', 'complete'],
      report: ['ops@example.net'],
      snapshotsPerDay: 4,
    });
    expect(config.policyOf(name('web2'))).toMatchObject({ weight: 1, keep: '7d 4w 13m', from: ['192.0.2.0/24'] });
  });

  test('a client named like a property of every object has the defaults', () => {
    const config = parseServerConfig('server.toml', '[client.web1]\nweight = 5');
    expect(config.policyOf(name('constructor')).weight).toBe(1);
  });
});

describe('what is wrong is said with file, line and key', () => {
  test.each([
    ['sotre = "/x"', '1: sotre: unknown key', undefined, 'did you mean store?'],
    ['\n\nstore = 3', '3: store = 3 is not allowed', 'a text in quotes'],
    ['store = "x"', '1: store = "x" is not allowed', 'begins with a slash'],
    ['store = "/a/../b"', '1: store', 'no "." or ".."'],
    ['user = "Root Root"', '1: user = "Root Root"', 'name of a user'],
    ['snapshots_per_day = 0', '1: snapshots_per_day = 0', 'from 1 to 10000'],
    ['snapshots_per_day = 1.5', '1: snapshots_per_day = 1.5', 'whole number'],
    ['idle_timeout = "ten"', '1: idle_timeout = "ten"', 'a duration is'],
    ['idle_timeout = 600', '1: idle_timeout = 600', 'a text in quotes'],
    ['[prune]\nstart = "5"', '2: prune.start = "5"', 'a percentage is'],
    ['[prune]\nstop = "300%"', '2: prune.stop = "300%"', 'a percentage is'],
    ['[prune]\n\nstart = "20%"\nstop = "10%"', '3: prune.start is not allowed', 'start is less than stop'],
    ['[prune]\nkeep_lsat = 3', '2: prune.keep_lsat: unknown key', undefined, 'did you mean keep_last?'],
    ['prune = 5', '1: prune = 5', 'a table'],
    ['[client.web1]\nkeep = "7 days"', '2: client.web1.keep = "7 days"', 'such as "7d 4w 13m"'],
    ['[client."web1.example.net"]\nweight = "x"', '2: client."web1.example.net".weight = "x"', 'a number'],
    ['[client.WEB1]\nweight = 1', '1: client.WEB1', 'not a client name'],
    [
      '[client.web1]\nfrom = [\n "192.0.2.1",\n "192.0.2.0/33" ]',
      '4: client.web1.from[1] = "192.0.2.0/33"',
      'IP address',
    ],
    ['[client.web1]\nwindow = "25:00±1h"', '2: client.web1.window', '02:00±30m'],
    ['[default]\nallow = ["prepare", "fly"]', '2: default.allow[1] = "fly"', '"prepare" or "transfer"'],
    ['[default]\nreport = "me <me@x>"', '2: default.report[0] = "me <me@x>"', 'mail address'],
    ['[mail]\nadmin = "-oQ/tmp"', '2: mail.admin[0] = "-oQ/tmp"', 'mail address'],
    ['[mail]\nsmtp = "http://me:secret@mail"', '2: mail.smtp is not allowed', 'address of a mail server'],
    ['[default]\nping = "ftp://x/secret"', '2: default.ping is not allowed', 'https://'],
    ['[client]\nweb1 = { wieght = 1 }', '2: client.web1.wieght: unknown key', undefined, 'did you mean weight?'],
    [
      '[client.web1]\ncolor = 1',
      '2: client.web1.color: unknown key',
      'the keys known here: weight, keep, max_age, from',
    ],
    ['store = "/x"\nstore = "/y"', '2: not valid TOML', 'redefine'],
    ['\nstore = ', '2: not valid TOML'],
    ['[prune', '1: not valid TOML'],
    ['store = "\\u001b[2J\\u202e"', '1: store = "\\\\u001b[2J\\xe2\\x80\\xae"'],
  ])('%j', (text, what, why = '', fix = 'correct line') => {
    const said = complaint(text);
    expect(said.what).toContain(`/etc/byteback/server.toml:${what}`);
    expect(said.why ?? '').toContain(why);
    expect(said.fix).toContain(fix);
  });
});

test('a machine without the file is no server', async () => {
  await expect(loadServerConfig('/nonexistent/server.toml')).rejects.toMatchObject({
    exit: 'usage',
    explanation: { what: 'this machine is not set up as a server' },
  });
});
