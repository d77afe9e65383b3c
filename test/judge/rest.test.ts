import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command, must } from '../helpers/command.ts';
import { compareTrees } from '../helpers/compare-trees.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';
import { randomFrom } from '../helpers/random-edits.ts';
import { backUpInside, daysLater } from '../helpers/run-inside.ts';

// A source that is changed without pause while runs go on, and then rests: the next run is exact, always. A round that fails is
// repeated with its own seed: npm run test:judge -- --rounds 1 --seed N --fs KIND
const rounds = Number(process.env['ROUNDS'] ?? 1);
const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const allKinds = ['ext4', 'xfs', 'btrfs'] as const;
const kinds = allKinds.filter((kind) => [undefined, '', kind].includes(process.env['FS']));

let machine: InstalledMachine;
const mounted: string[] = [];
const devices: string[] = [];

beforeAll(async () => {
  if (kinds.includes('xfs') && !existsSync('/usr/sbin/mkfs.xfs')) {
    const apt = ['apt-get', '-y', '-qq', '-o', 'APT::Sandbox::User=root', '-o', 'Dpkg::Options::=--force-unsafe-io'];
    await must(['apt-get', '-qq', 'update']);
    await must([...apt, 'install', '--no-install-recommends', 'xfsprogs']);
  }
  machine = await installedMachine();
  await must(['sed', '-i', '1i snapshots_per_day = 10000', '/etc/byteback/server.toml']);
});

afterAll(async () => {
  for (const place of mounted.toReversed()) await command(['umount', '-R', place]);
  for (const device of devices) await command(['losetup', '-d', device]);
  await machine?.dispose();
});

async function makeImage(kind: string, name: string, sizeBytes: number): Promise<string> {
  const file = `${machine.scratch}/${name}.img`;
  await writeFile(file, '');
  await truncate(file, sizeBytes);
  await must([`mkfs.${kind}`, '-q', ...(kind === 'ext4' ? ['-F'] : ['-f']), file]);
  return file;
}

async function makeTree(kind: string) {
  const place = `${machine.scratch}/${kind}`;
  await mkdir(place);
  await must(['mount', '-o', 'loop', await makeImage(kind, kind, 700 * 1024 ** 2), place]);
  mounted.push(place);
  const [tree, aside] = [`${place}/tree`, `${place}/aside`];
  for (const path of [`${tree}/mounted`, `${tree}/mail/tmp`, `${tree}/mail/new`, `${tree}/mail/cur`, aside]) {
    await mkdir(path, { recursive: true });
  }
  const device = (
    await must(['losetup', '-f', '--show', await makeImage('ext4', `${kind}-other`, 64 * 1024 ** 2)])
  ).stdout.trim();
  devices.push(device);
  return { tree, aside, device };
}

/** Changes the tree while `work` goes on, and at least for a while. */
async function whileBusy<T>(argv: readonly string[], work: () => Promise<T>): Promise<{ done: T; changes: string[] }> {
  const busy = spawn(process.execPath, [new URL('busy-tree.ts', import.meta.url).pathname, ...argv], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let told = '';
  busy.stdout.setEncoding('utf8').on('data', (text: string) => {
    told += text;
  });
  const ended = once(busy, 'close');
  try {
    await sleep(300);
    const done = await work();
    return { done, changes: told.split('\n') };
  } finally {
    busy.stdin.end();
    const [code] = await ended;
    expect(code, told.slice(-2000)).toBe(0);
  }
}

/** Now and then a process of the transfer is killed, on either side. */
function killSometimes(random: () => number): { stop: () => void } {
  if (random() > 0.15) return { stop: () => undefined };
  const timer = setTimeout(
    () => {
      const argv = random() < 0.7 ? ['-u', 'byteback', '-f', '^rsync --server'] : ['-x', 'rsync'];
      void command(['pkill', '-KILL', ...(random() < 0.5 ? ['-n'] : []), ...argv]);
    },
    500 + random() * 2000,
  );
  return { stop: () => clearTimeout(timer) };
}

async function busyRun(client: TestClient, random: () => number): Promise<string> {
  const full = random() < 0.25;
  const kill = killSometimes(random);
  try {
    const { report } = await backUpInside(client, { full, retryNumber: 3, retryDelayMs: 500 });
    return `${full ? 'full ' : ''}${report.status}${report.walk === null ? '' : `, walk: ${report.walk}`}`;
  } catch (error) {
    return `failed: ${String(error)}`;
  } finally {
    kill.stop();
  }
}

describe.each(kinds)('on %s', (kind) => {
  it(`is exact at the next run when it rests, seed ${seed}`, { timeout: 24 * 3_600_000 }, async () => {
    const { tree, aside, device } = await makeTree(kind);
    const client = await machine.client(`rest-${kind}`);
    await writeFile(
      `${client.configDir}/client.toml`,
      `destination = "byteback@127.0.0.1:"\nsource = ["${tree}", "${tree}/mounted"]\n`,
    );
    const table = new Map<string, number>();
    for (let round = 0; round < rounds; round += 1) {
      const own = seed + round;
      const random = randomFrom(own);
      const argv = [String(own), tree, aside, device];
      const { done, changes } = await whileBusy(argv, async () => {
        const runs = [await busyRun(client, random)];
        if (random() < 0.4) runs.push(await busyRun(client, random));
        return runs;
      });
      if (random() < 0.3) await daysLater(client, 10);
      const full = random() < 0.15;
      const { report, said } = await backUpInside(client, { full, retryNumber: 20, retryDelayMs: 500 });
      const snapshot = (await machine.snapshots(client.name)).at(-1);
      const copy = `${client.place}/snapshots/${snapshot}/fs${tree}`;
      if (process.env['SAY']) console.log(`SAID\n${said.join('\n')}\nEND`);
      const differences = await compareTrees(tree, copy, { rights: false, attributes: false });
      for (const told of [
        ...done,
        `rest ${report.status}, ${report.walk === null ? 'changes' : `walk: ${report.walk}`}`,
      ]) {
        const word = told.replace(/[0-9a-f]{32}/, 'RUN').slice(0, 160);
        table.set(word, (table.get(word) ?? 0) + 1);
      }
      const about = [`seed ${own} on ${kind}`, ...done, ...said, JSON.stringify(report.unread), ...changes].join('\n');
      // A file system that was mounted and is not now is kept as it was, and that is told.
      const isKept = report.unread.some(({ path }) => path === `${tree}/mounted`);
      const untrue = differences.filter((line) => !(isKept && line.startsWith('"mounted')));
      expect(untrue, about).toEqual([]);
      expect(report.status, about).toBe(isKept ? 'partial' : 'ok');
      if ((round + 1) % 10 === 0) console.log(`${kind}: ${round + 1} rounds exact, seeds ${seed} to ${own}`);
    }
    console.log(
      `${kind}: ${rounds} rounds exact, from seed ${seed}\n${[...table].map(([word, n]) => `${n} × ${word}`).join('\n')}`,
    );
  });
});
