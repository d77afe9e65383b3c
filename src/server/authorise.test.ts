import { describe, expect, it } from 'vitest';
import { check as checkCommand } from '../../test/helpers/sample-commands.ts';
import { parseServerConfig } from '../config/server-config.ts';
import { parseCommand } from '../protocol/command.ts';
import { parseClientName, parseRunId, type RunId } from '../protocol/names.ts';
import { authorise, isInside } from './authorise.ts';
import { type Caller, whoIs } from './receive/identify.ts';
import { Refusal } from './refusal.ts';
import { parseRegistry } from './registry.ts';
import { requireOpen } from './runs/record.ts';

const clientName = (text: string) => {
  const name = parseClientName(text);
  if (name === undefined) throw new Error(`no name: ${text}`);
  return name;
};
const runId = (text: string): RunId => {
  const run = parseRunId(text);
  if (run === undefined) throw new Error(`no run id: ${text}`);
  return run;
};

const blobOf = (seed: string) =>
  Buffer.concat([
    Buffer.from([0, 0, 0, 11]),
    Buffer.from('ssh-ed25519'),
    Buffer.from([0, 0, 0, 32]),
    Buffer.alloc(32, seed),
  ]).toString('base64');
const registry = parseRegistry(
  ['web1', 'db1']
    .map((name) => `restrict,command="/usr/lib/byteback/byteback-receive" ssh-ed25519 ${blobOf(name)} client:${name}\n`)
    .join(''),
);
const config = parseServerConfig(
  'server.toml',
  `
[default]
from = ["192.0.2.1"]
window = ["02:00±30m UTC", "13:00-13:30 Europe/Berlin"]
[client.db1]
from = ["192.0.2.2"]
[client.old1]
allow = ["restore"]
`,
);
const ownRun = runId('a'.repeat(32));
const othersRun = runId('b'.repeat(32));

/** What the server itself asks of one command, from the key to the run. Gives the check that fails, or "done". */
function outcomeOf(seed: string, address: string, now: Date, text: string | undefined): string {
  try {
    const caller = whoIs({ keyBlob: blobOf(seed) }, registry);
    const policy = caller.role === 'client' ? config.policyOf(caller.name) : undefined;
    const command = authorise({ caller, policy, address, now, command: parseCommand(text) });
    if ('run' in command) {
      const open = seed === 'web1' ? ownRun : othersRun;
      requireOpen({ run: open, state: 'open' } as Parameters<typeof requireOpen>[0], command.run);
    }
    return 'done';
  } catch (error) {
    if (error instanceof Refusal) return error.check;
    throw error;
  }
}

const machines = { right: 'web1', "other's key": 'db1', unknown: 'nobody' };
const addresses = { right: '192.0.2.1', wrong: '198.51.100.9' };
const times = [
  ['one second before', '2026-11-20T01:29:59Z', false],
  ['first', '2026-11-20T01:30:00Z', true],
  ['last', '2026-11-20T02:30:00.999Z', true],
  ['one second after', '2026-11-20T02:30:01Z', false],
  ['one second before the second window', '2026-11-20T11:59:59Z', false],
  ['first of the second window', '2026-11-20T12:00:00Z', true],
  ['last of the second window', '2026-11-20T12:30:00Z', true],
  ['one second after the second window', '2026-11-20T12:30:01Z', false],
] as const;
const pull = '--server --sender -lHogDtpAXRe.LsfxCIvu --timeout=60 --numeric-ids --files-from=- --from0 . .';
const push = '--server -lHogDtpAXre.iLsfxCIvu --delete-during -@-1 --numeric-ids . .';
const commands: Readonly<Record<string, [text: string | undefined, check: string]>> = {
  prepare: ['prepare', 'done'],
  'transfer into own': [`transfer ${ownRun} ${push}`, 'done'],
  complete: ['complete', 'done'],
  "transfer into another's": [`transfer ${othersRun} ${push}`, 'run'],
  restore: [`restore 2026-11-20T030000Z ${pull}`, 'done'],
  'prepare; id': ['prepare; id', 'command'],
  'rm -rf /': ['rm -rf /', 'command'],
  shell: [undefined, 'command'],
};

describe('the grid: machine, address, time, command', () => {
  const rows = Object.entries(machines).flatMap(([machine, seed]) =>
    Object.entries(addresses).flatMap(([where, address]) =>
      times.flatMap(([when, time, open]) =>
        Object.entries(commands).map(([command, [text, check]]) => {
          const expected =
            machine === 'unknown' ? 'key' : where === 'wrong' || machine !== 'right' ? 'from' : open ? check : 'window';
          return { name: `${machine}, ${where}, ${when}, ${command}`, seed, address, time, text, expected };
        }),
      ),
    ),
  );

  it.each(rows)('$name: $expected', ({ seed, address, time, text, expected }) => {
    expect(outcomeOf(seed, address, new Date(time), text)).toBe(expected);
  });

  it("another's key does nothing to the first one's, even from where it belongs", () => {
    const at = new Date('2026-11-20T02:00:00Z');
    expect(outcomeOf('db1', '192.0.2.2', at, `transfer ${ownRun} ${push}`)).toBe('run');
    expect(outcomeOf('db1', '192.0.2.2', at, `transfer ${othersRun} ${push}`)).toBe('done');
  });

  it('passes exactly the permitted ones', () => {
    const passed = rows.filter(({ expected }) => expected === 'done');
    expect([rows.length, passed.length]).toEqual([3 * 2 * 8 * 8, 4 * 4]);
  });
});

describe('what is allowed', () => {
  const check = (allow: string, text: string) => {
    const policy = parseServerConfig('server.toml', `[client.web1]\nallow = [${allow}]\n`).policyOf(clientName('web1'));
    const caller: Caller = { role: 'client', name: clientName('web1') };
    try {
      authorise({ caller, policy, address: '192.0.2.1', now: new Date(0), command: parseCommand(text) });
      return 'done';
    } catch (error) {
      if (error instanceof Refusal) return error.check;
      throw error;
    }
  };
  const of = { prepare: 'prepare', transfer: `transfer ${ownRun} ${push}`, complete: 'complete', restore: 'snapshots' };

  it.each(Object.keys(of))('%s alone', (right) => {
    for (const [name, text] of Object.entries(of))
      expect(check(`"${right}"`, text)).toBe(name === right ? 'done' : 'allow');
    expect(check(`"${right}"`, 'ping')).toBe('done');
  });

  it.each([`separate ${ownRun}`, `replay ${ownRun}`, `list ${ownRun} all`, checkCommand])(
    '%s belongs to transfer',
    (text) => {
      expect(check('"transfer"', text)).toBe('done');
      expect(check('"prepare", "complete", "restore"', text)).toBe('allow');
    },
  );

  it.each(['register', 'redeem'])('%s is no command of a client', (verb) => {
    expect(check('"prepare", "transfer", "complete", "restore"', verb)).toBe('command');
  });
});

describe('those who are no client yet', () => {
  const strangers: readonly [Caller, string][] = [
    [{ role: 'admin' }, 'register'],
    [{ role: 'password' }, 'register'],
    [{ role: 'invite', blob: 'x' }, 'redeem'],
  ];
  it.each(strangers)('%o may only %s', (caller, only) => {
    for (const text of [
      'ping',
      'prepare',
      'complete',
      'snapshots',
      'register',
      'redeem',
      `transfer ${ownRun} ${push}`,
    ]) {
      const attempt = () =>
        authorise({ caller, policy: undefined, address: '192.0.2.1', now: new Date(), command: parseCommand(text) });
      if (text === only) expect(attempt().verb).toBe(only);
      else expect(attempt).toThrow(Refusal);
    }
  });
});

describe('where it may come from', () => {
  it.each([
    ['192.0.2.7', '192.0.2.0/24', true],
    ['192.0.3.7', '192.0.2.0/24', false],
    ['::ffff:192.0.2.7', '192.0.2.0/24', true],
    ['192.0.2.7', '192.0.2.7', true],
    ['2001:db8::1', '2001:db8::/32', true],
    ['2001:db9::1', '2001:db8::/32', false],
    ['', '192.0.2.0/24', false],
    ['UNKNOWN', '192.0.2.0/24', false],
  ])('%s is inside %s: %s', (address, network, expected) => {
    expect(isInside(address, network)).toBe(expected);
  });
});
