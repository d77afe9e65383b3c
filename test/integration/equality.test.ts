import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type RunReport, runBackup } from '../../src/client/run-backup.ts';
import { loadClientConfig } from '../../src/config/client-config.ts';
import { clientPaths } from '../../src/config/paths.ts';
import { BytebackError } from '../../src/errors.ts';
import { systemClock } from '../../src/system/clock.ts';
import { type Log, silentLog } from '../../src/system/log.ts';
import { command, must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';
import { editTree, randomFrom } from '../helpers/random-edits.ts';

// The heart of it: whatever was done to a tree, the snapshot equals it, although only the changes were sent.
const rounds = Number(process.env['ROUNDS'] ?? 5);
const seed = Number(process.env['SEED'] ?? 20_261_120);

let machine: InstalledMachine;
const disks: string[] = [];
const kinds = ['ext4', 'btrfs', 'xfs'] as const;

beforeAll(async () => {
  // Not on every machine; this one is private and forgets it.
  if (!existsSync('/usr/sbin/mkfs.xfs')) await installXfs();
  machine = await installedMachine({ serverArguments: [] });
  await must(['sed', '-i', '1i snapshots_per_day = 10000', '/etc/byteback/server.toml']);
});

afterAll(async () => {
  for (const disk of disks) await must(['umount', disk]);
  await machine?.dispose();
});

async function installXfs(): Promise<void> {
  const apt = ['apt-get', '-y', '-qq', '-o', 'APT::Sandbox::User=root', '-o', 'Dpkg::Options::=--force-unsafe-io'];
  await must(['apt-get', '-qq', 'update']);
  await must([...apt, 'install', '--no-install-recommends', 'xfsprogs']);
}

/** Makes as if days had gone by, so that the next run has a part of the tree to check by checksum. */
async function daysLater(client: TestClient, days: number): Promise<void> {
  for (const name of await readdir(client.stateDir)) {
    if (!/^catalogue-[0-9a-f]+\.json$/.test(name)) continue;
    const file = `${client.stateDir}/${name}`;
    const catalogue = JSON.parse(await readFile(file, 'utf8'));
    await writeFile(file, JSON.stringify({ ...catalogue, checkedAt: catalogue.checkedAt - days * 24 * 3_600_000 }));
  }
}

/** One run, and what it said. */
async function backUp(client: TestClient): Promise<{ report: RunReport; said: string[] }> {
  const paths = clientPaths(client.env);
  const said: string[] = [];
  const log: Log = { ...silentLog, step: (text) => said.push(text), info: (text) => said.push(text) };
  const report = await runBackup(
    { retryNumber: 0 },
    {
      config: await loadClientConfig(paths),
      paths,
      log,
      clock: systemClock,
      signal: new AbortController().signal,
      version: 'test',
    },
  );
  return { report, said };
}

/** What a full rsync by checksum would still send to, or delete from, the newest snapshot; and names whose links differ. */
async function differences(client: TestClient, tree: string): Promise<string> {
  const snapshot = (await machine.snapshots(client.name)).at(-1);
  const copy = `${client.place}/snapshots/${snapshot}/fs${tree}`;
  const { stdout } = await must([
    ...['rsync', '-aHAXnic', '--delete', '--numeric-ids', '--modify-window=-1', '-M--fake-super'],
    ...[`${tree}/`, `${copy}/`],
  ]);
  // Nothing but the way to the tree lies around it.
  const root = copy.slice(0, -tree.length);
  const around = await must(['find', root, '-path', copy, '-prune', '-o', '!', '-type', 'd', '-print']);
  const directories = (
    await must(['find', root, '-path', copy, '-prune', '-o', '-mindepth', '1', '-type', 'd', '-printf', '/%P\\n'])
  ).stdout;
  const strange = directories.split('\n').filter((path) => path !== '' && !tree.startsWith(`${path}/`));
  const links = async (directory: string) => {
    const { bytes } = await must(['find', '.', '-type', 'f', '-links', '+1', '-printf', '%n %P\\0'], {
      cwd: directory,
    });
    return bytes.toString('latin1').split('\0').toSorted();
  };
  const [here, there] = [await links(tree), await links(copy)];
  return (
    around.stdout +
    strange.join('\n') +
    stdout +
    here
      .filter((each) => !there.includes(each))
      .concat(there.filter((each) => !here.includes(each)))
      .join('\n')
  );
}

async function makeImage(kind: 'ext4' | 'xfs' | 'btrfs', name: string): Promise<string> {
  const file = `${machine.scratch}/${name}.img`;
  await writeFile(file, '');
  await truncate(file, 700 * 1024 * 1024);
  await must([`mkfs.${kind}`, '-q', ...(kind === 'ext4' ? ['-F'] : ['-f']), file]);
  return file;
}

async function makeDisk(kind: 'ext4' | 'xfs' | 'btrfs'): Promise<string> {
  const file = await makeImage(kind, kind);
  const place = `${machine.scratch}/${kind}`;
  await mkdir(place);
  await must(['mount', '-o', 'loop', file, place]);
  disks.push(place);
  return place;
}

/** Another disk that comes and goes in the tree: what lies below its place is another thing with it than without. */
async function otherDisk(tree: string, name: string): Promise<{ come: () => Promise<void>; go: () => Promise<void> }> {
  const image = await makeImage('ext4', name);
  const place = `${tree}/mounted`;
  let isThere = false;
  return {
    async come() {
      if (isThere || !existsSync(place)) return;
      // The edits may have put a file or a link in its place.
      isThere = (await command(['mount', '-o', 'loop', image, place])).exitCode === 0;
    },
    async go() {
      if (isThere) await must(['umount', place]);
      isThere = false;
    },
  };
}

describe.each(kinds)('on %s', (kind) => {
  it('each snapshot equals the source after random edits', { timeout: 3_600_000 }, async () => {
    const disk = await makeDisk(kind);
    const tree = `${disk}/tree`;
    await mkdir(`${tree}/mounted`, { recursive: true });
    const other = await otherDisk(tree, `${kind}-other`);
    const client = await machine.client(`on-${kind}`);
    await writeFile(`${client.configDir}/client.toml`, `destination = "byteback@127.0.0.1:"\nsource = ["${tree}"]\n`);
    const random = randomFrom(seed);
    await editTree(tree, random, 150);
    const walks: string[] = [];
    for (let round = 0; round < rounds; round += 1) {
      if (round % 3 === 1) await other.come();
      const edits = round === 0 ? [] : await editTree(tree, random, 1 + Math.floor(random() * 40));
      if (round % 3 === 0) await other.go();
      await daysLater(client, 10);
      const { said, report } = await backUp(client);
      walks.push(...said.filter((line) => /^(?:walking|sending) everything\b.*:/.test(line)));
      expect(report.status, said.join('\n')).toBe('ok');
      expect(report.findings, `round ${round}\n${said.join('\n')}\n${edits.join('\n')}`).toEqual([]);
      const left = await differences(client, tree);
      expect(left, `round ${round}\n${said.join('\n')}\n${edits.join('\n')}`).toBe('');
    }
    await other.go();
    // Only the first run sends everything, and none walks: otherwise the rest of this test shows nothing.
    expect(walks).toEqual(['sending everything: nothing is there yet']);
  });
});

describe('after a run that was killed', () => {
  it('the next one equals the source again, wherever the killed one stood', { timeout: 3_600_000 }, async () => {
    const tree = `${machine.disk}/killed`;
    await mkdir(tree);
    const client = await machine.client('killed');
    await writeFile(`${client.configDir}/client.toml`, `destination = "byteback@127.0.0.1:"\nsource = ["${tree}"]\n`);
    const random = randomFrom(seed + 1);
    await editTree(tree, random, 150);
    await backUp(client);
    for (let round = 0; round < rounds; round += 1) {
      await editTree(tree, random, 30);
      const killed = spawn('byteback-backup', ['--retry-number', '0'], {
        env: { ...process.env, ...client.env },
        stdio: 'ignore',
      });
      const ended = once(killed, 'exit');
      // A run takes about two seconds here: any step may be hit, and sometimes none.
      await new Promise((resolve) => setTimeout(resolve, 300 + random() * 2200));
      if (round % 3 === 0) killed.kill('SIGKILL');
      else if (round % 3 === 1) await command(['pkill', '-KILL', '-P', String(machine.sshd.pid)]);
      // The newest is the innermost: rsync or the replay in the jail, else byteback-receive itself.
      else await command(['pkill', '-KILL', '-n', '-u', 'byteback', '-f', 'rsync|receive|jailed']);
      await ended;
      await editTree(tree, random, 10);
      const { said } = await backUpPatiently(client);
      expect(await differences(client, tree), `round ${round}\n${said.join('\n')}`).toBe('');
    }
  });
});

/** The server needs a moment to notice that the killed run's session is gone; its lock is held until then. */
async function backUpPatiently(client: TestClient): ReturnType<typeof backUp> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await backUp(client);
    } catch (error) {
      if (attempt > 20 || !(error instanceof BytebackError) || error.exit !== 'locked') throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}
