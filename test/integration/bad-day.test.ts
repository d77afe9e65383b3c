import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { command, must, type Outcome } from '../helpers/command.ts';
import { compareTrees } from '../helpers/compare-trees.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

const MiB = 1024 * 1024;

let machine: InstalledMachine;
let client: TestClient;

beforeAll(async () => {
  machine = await installedMachine({ size: '1G' });
  client = await machine.client('web1');
});

afterAll(async () => {
  await machine?.dispose();
});

async function writeRandom(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, 'w');
  for (let written = 0; written < sizeBytes; written += MiB) await file.write(randomBytes(MiB));
  await file.close();
}

/** Bytes that lie in the client's current on the server, whatever their names are for now. */
async function arrivedBytes(): Promise<number> {
  const { stdout } = await command(['du', '-s', '-B1', `${client.place}/current/fs`]);
  return Number.parseInt(stdout, 10) || 0;
}

/** Waits while the run goes on. @throws Error with what the run printed when it ends before. */
async function until(what: string, running: Promise<Outcome>, isTrue: () => Promise<boolean>): Promise<void> {
  let ended: Outcome | undefined;
  running.then((outcome) => {
    ended = outcome;
  });
  while (!(await isTrue())) {
    if (ended !== undefined) {
      throw new Error(`ended before ${what}: ${ended.exitCode}\n${ended.stdout}\n${ended.stderr}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** kill -9 for both processes of each session of sshd; its listener goes on. */
async function cut(): Promise<void> {
  await must(['pkill', '-KILL', '-f', '^sshd: byteback']);
}

describe('a connection that is cut', () => {
  it('is taken up again three times in the middle of a big file, without sending anything twice', async () => {
    const source = `${machine.disk}/cut`;
    await mkdir(source);
    await writeRandom(`${source}/big`, 120 * MiB);
    await writeFile(`${source}/small`, 'small\n');

    const running = client.run(
      ...['byteback-backup', '--json', '--source', source, '--retry-delay', '1s', '--bwlimit', '25M'],
    );
    for (const arrived of [20, 45, 70]) {
      await until(`${arrived} MiB arrived`, running, async () => (await arrivedBytes()) > arrived * MiB);
      expect(await machine.snapshots('web1')).toEqual([]);
      await cut();
    }
    const outcome = await running;

    expect(outcome).toExitWith(0);
    const report = JSON.parse(outcome.stdout);
    expect(report).toMatchObject({ status: 'ok' });
    // Of all four attempts together: nothing twice, but for what was on its way when the line was cut.
    expect(report.figures.wireBytes).toBeGreaterThan(100 * MiB);
    expect(report.figures.wireBytes).toBeLessThan(140 * MiB);
    const snapshots = await machine.snapshots('web1');
    expect(snapshots).toHaveLength(1);
    const kept = `${client.place}/snapshots/${snapshots[0]}/fs${source}`;
    expect(await compareTrees(source, kept, { rights: false, attributes: false })).toEqual([]);
  });
});

describe('a file that cannot be read', () => {
  it('is named, and marks the snapshot as partial', async () => {
    const source = `${machine.disk}/unreadable`;
    await mkdir(source);
    await writeFile(`${source}/open`, 'open\n');
    await writeFile(`${source}/closed\u001b[31m`, 'closed\n');
    await chown(`${source}/closed\u001b[31m`, 1234, 1234);
    await chmod(`${source}/closed\u001b[31m`, 0o000);
    const before = await machine.snapshots('web1');

    // Root may read everything; without these capabilities it may not.
    const outcome = await client.run(
      ...['setpriv', '--bounding-set', '-dac_override,-dac_read_search', '--'],
      ...['byteback-backup', '--source', source],
    );

    expect(outcome).toExitWith(3);
    expect(outcome.stderr).toContain(`${source}/closed`);
    expect(outcome.stderr).not.toContain('\u001b[31m');
    const after = await machine.snapshots('web1');
    expect(after).toHaveLength(before.length + 1);
    const place = `${client.place}/snapshots/${after.at(-1)}`;
    expect(await readFile(`${place}/fs${source}/open`, 'utf8')).toBe('open\n');
    const record = JSON.parse(await readFile(`${place}/run.json`, 'utf8'));
    expect(record).toMatchObject({ state: 'completed', status: 'partial' });
    // Tried once more at once: two transfers ended with rsync's 23. Then new directories were looked at again, and what had to be
    // compared by content, because a transfer that ended with 23 may have left some of it out.
    expect(record.transfers.map(({ exitCode }: { exitCode: number }) => exitCode)).toEqual([23, 23, 0, 0]);
    await rm(source, { recursive: true });
  });
});

describe('a disk that fills up in the middle of a run', () => {
  it('ends the run with 13 and no snapshot; the next run goes on when there is room', async () => {
    const source = `${machine.disk}/full`;
    await mkdir(source);
    await writeRandom(`${source}/big`, 150 * MiB);
    const before = await machine.snapshots('web1');
    const arrivedBefore = await arrivedBytes();

    const running = client.run('byteback-backup', '--source', source, '--bwlimit', '25M', '--retry-delay', '1s');
    await until('10 MiB arrived', running, async () => (await arrivedBytes()) > arrivedBefore + 10 * MiB);
    // Somebody else fills the disk.
    const { stdout } = await must(['df', '--output=avail', '-B1', '/byteback']);
    const free = Number(stdout.split('\n')[1]);
    await must(['fallocate', '-l', String(free - 20 * MiB), '/byteback/filler']);
    const outcome = await running;

    expect(outcome).toMatchObject({ exitCode: 13, stderr: expect.stringContaining('full') });
    expect(await machine.snapshots('web1')).toEqual(before);

    await rm('/byteback/filler');
    await command(['btrfs', 'filesystem', 'sync', '/byteback']);
    expect(await client.run('byteback-backup', '--source', source)).toExitWith(0);
    const after = await machine.snapshots('web1');
    const kept = `${client.place}/snapshots/${after.at(-1)}/fs${source}`;
    expect(await compareTrees(source, kept, { rights: false, attributes: false })).toEqual([]);
  });
});
