import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commandOf, inOurWords, quotedIn, readAttacks, type Target } from '../../helpers/attack-table.ts';
import { command, type Outcome } from '../../helpers/command.ts';
import { compareTrees } from '../../helpers/compare-trees.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../../helpers/installed-machine.ts';
import { receiverProcesses, serverState } from '../../helpers/server-state.ts';
import { type Wire, wireOf, wireWithKey } from '../../helpers/wire.ts';

// Every row of the table that is a command, a client's name or a public key, tried on a real installation with a real
// key. What is a story of several steps is in scenarios.test.ts.

const secret = 'the payroll of somebody else';
const attacks = readAttacks();
let machine: InstalledMachine;
let alice: TestClient;
let mallory: TestClient;
let wire: Wire;
let admin: Wire;
let target: Target;
let run: string;
let tried = 0;
let held = 0;

/** Runs one attack; counted as held only when the expectations in it are met. */
async function attempt(attack: () => Promise<void>): Promise<void> {
  tried += 1;
  await attack();
  held += 1;
}

/** A backup and a restore with the attacker's own key: a server that refuses everything holds nothing. */
async function worksForHonestUse(client: TestClient): Promise<void> {
  const tree = join(machine.disk, client.name);
  await writeFile(join(tree, 'changing'), randomBytes(1000));
  expect(await client.run('byteback-backup', '--source', tree)).toExitWith(0);
  const to = join(machine.disk, `back-${randomBytes(4).toString('hex')}`);
  expect(await client.run('byteback-restore', '--restore', '--to', to, tree)).toExitWith(0);
  expect(await compareTrees(tree, join(to, tree))).toEqual([]);
}

beforeAll(async () => {
  machine = await installedMachine({ size: '2G' });
  alice = await machine.client('alice.example');
  mallory = await machine.client('mallory.example');
  for (const client of [alice, mallory]) await mkdir(join(machine.disk, client.name));
  await writeFile(join(machine.disk, alice.name, 'payroll.txt'), secret);
  await writeFile(join(machine.disk, mallory.name, 'x'), '#!/bin/sh\ntouch /byteback/PWNED /tmp/PWNED\n', {
    mode: 0o755,
  });
  await worksForHonestUse(alice);
  await worksForHonestUse(mallory);
  wire = wireOf(machine, mallory);
  admin = wireWithKey(machine, machine.adminKey);
  const [snapshot = ''] = await machine.snapshots(mallory.name);
  target = { me: mallory.name, other: alice.name, snapshot };
}, 300_000);

afterAll(async () => {
  console.log(`attacks by a command, a name or a key: ${tried} tried, ${held} held`);
  await machine?.dispose();
});

function expectRefused(outcome: Outcome): void {
  expect([12, 76]).toContain(outcome.exitCode);
  expect(outcome.stderr).toMatch(/^byteback: [\x20-\x7e\n]+$/);
  expect(outcome.stdout + outcome.stderr).not.toContain(secret);
  // No path of the server, no trace of a crash.
  expect(outcome.stdout + outcome.stderr).not.toMatch(/\.mjs|node:internal|\/usr\/lib\/byteback/);
}

const commands = attacks.flatMap((attack) =>
  commandOf(attack, { me: 'm', other: 'o', snapshot: 's' }) === undefined
    ? []
    : [{ id: attack.id, how: attack.how, attack }],
);

describe('as they are', () => {
  it.each(commands)('$id $how', async ({ attack }) => {
    const text = commandOf(attack, target) ?? '';
    const before = await serverState();
    await attempt(async () => {
      // The longest never reaches the server as one argument of a program here: it is cut to what ssh can be given.
      expectRefused(await wire.ask(text.slice(0, 120_000)));
      expect(await serverState()).toEqual(before);
      expect(await receiverProcesses()).toBe('');
    });
  });
});

describe('in the middle', () => {
  it('a backup and a restore with the same key work', () => worksForHonestUse(mallory), 200_000);
});

describe('in the words of our own protocol', () => {
  beforeAll(async () => {
    run = await wire.prepare(JSON.parse(await readFile(join(mallory.place, 'current/run.json'), 'utf8')).machineId);
  });

  const translated = commands.flatMap(({ id, attack }) =>
    inOurWords(commandOf(attack, { me: 'm', other: 'o', snapshot: 's' }) ?? '', 'r', 's') === undefined
      ? []
      : [{ id, attack }],
  );
  // Harmless but for their number, which the server makes its own.
  const clamped = new Set(['OP59']);

  it('are most of them', () => {
    expect(translated.length).toBeGreaterThan(60);
  });

  it.each(translated)('$id', async ({ id, attack }) => {
    const text = inOurWords(commandOf(attack, target) ?? '', run, target.snapshot) ?? '';
    // Only the record of the own run may change, and only where a transfer was started.
    const own = /\/mallory\.example\/current(?:\/run\.json)?\|/;
    const options = clamped.has(id) ? { but: own } : {};
    const before = await serverState(options);
    await attempt(async () => {
      const outcome = await wire.ask(text.slice(0, 120_000));
      if (clamped.has(id)) expect(outcome.stdout + outcome.stderr).not.toContain(secret);
      else expectRefused(outcome);
      expect(await serverState(options)).toEqual(before);
      expect(await receiverProcesses()).toBe('');
    });
  });
});

const names = attacks.flatMap((attack) => {
  const name = quotedIn(attack, 'host name');
  return name === undefined ? [] : [{ id: attack.id, name }];
});

describe('names of clients', () => {
  it('are there', () => {
    expect(names).toHaveLength(17);
  });

  it.each(names)('$id $name', async ({ id, name }) => {
    const key = join(machine.scratch, `name-${id}`);
    await command(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key]);
    const publicKey = (await readFile(`${key}.pub`, 'utf8')).trim();
    const before = await serverState();
    await attempt(async () => {
      const { exitCode, stdout } = await admin.ask('register', { protocol: 1, name, publicKey });
      expect([2, 12]).toContain(exitCode);
      expect(JSON.parse(stdout)).toMatchObject({ ok: false });
      expect(await serverState()).toEqual(before);
    });
  });
});

const keyRows = attacks.filter((attack) => quotedIn(attack, 'public key') !== undefined);

describe('public keys', () => {
  const good = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGZha2VrZXlmYWtla2V5ZmFrZWtleWZha2VrZXlmYWtl';
  /** The table cuts long texts short and names a key that is not of this machine. */
  async function keyOf(id: string, quoted: string): Promise<string> {
    if (id === 'PK06') return `ssh-ed25519 ${'A'.repeat(100_000)}`;
    if (id === 'PK07') return (await readFile(join(alice.configDir, 'key.pub'), 'utf8')).trim();
    if (id === 'PK09') return `${good} command="sh" client:alice.example\u202e`;
    return quoted;
  }
  /** May be accepted, when nothing of the client's comment comes along. */
  const normalised = new Set(['PK09', 'PK16']);

  it.each(keyRows)('$id $how', async (attack) => {
    const publicKey = await keyOf(attack.id, quotedIn(attack, 'public key') ?? '');
    const before = await serverState();
    const registry = await readFile('/etc/byteback/authorized_keys', 'utf8');
    await attempt(async () => {
      const { exitCode, stdout } = await admin.ask('register', { protocol: 1, name: 'pk.example', publicKey });
      if (exitCode === 0) {
        expect(normalised.has(attack.id)).toBe(true);
        const added = (await readFile('/etc/byteback/authorized_keys', 'utf8')).replace(registry, '');
        expect(added).toBe(`restrict,command="/usr/lib/byteback/byteback-receive" ${good} client:pk.example\n`);
        expect(await command(['byteback', 'client', 'revoke', 'pk.example'])).toExitWith(0);
      } else {
        expect(JSON.parse(stdout)).toMatchObject({ ok: false });
        expect(await serverState()).toEqual(before);
      }
    });
  });
});

describe('after all of it', () => {
  it('a backup and a restore with the same key work, and the other client has lost nothing', async () => {
    await worksForHonestUse(mallory);
    await worksForHonestUse(alice);
    await rm(join(machine.disk, alice.name, 'changing'));
  }, 200_000);
});
