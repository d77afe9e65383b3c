import { randomBytes } from 'node:crypto';
import { appendFile, link, mkdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '../helpers/command.ts';
import { compareTrees } from '../helpers/compare-trees.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';
import { spoil } from '../helpers/spoil.ts';

// A disk forgets: bytes of a file are changed on the image of the store, behind the file system's back.
let machine: InstalledMachine;
let client: TestClient;
let tree = '';
let names: string[] = [];

interface Report {
  status: string;
  uncorrectable: number;
  unplaced: number;
  damaged: { client: string; path: string; snapshots: string[]; current: string; mendedAt?: string }[];
}
const scrub = async (...words: string[]) => {
  const outcome = await machine.clientToBe('root').run('byteback', 'scrub', '--json', ...words);
  return { exitCode: outcome.exitCode, stderr: outcome.stderr, report: JSON.parse(outcome.stdout) as Report };
};
const events = async () =>
  (await readFile('/byteback/.byteback/events.jsonl', 'utf8').catch(() => ''))
    .split('\n')
    .filter((line) => line.includes('"kind":"bitrot"'))
    .map((line) => JSON.parse(line) as { client: string; what: string; why: string });
/**
 * What is younger than two seconds when a run begins is compared by checksum by the next one: a run of one source would send
 * what is damaged anew, or not, as the machine is fast or slow.
 */
const untilSettled = (written: number) => setTimeout(Math.max(0, written + 2200 - Date.now()));

beforeAll(async () => {
  machine = await installedMachine({ size: '1G' });
  client = await machine.client('web1');
  const other = await machine.client('web2');
  tree = `${machine.disk}/tree`;
  await mkdir(`${tree}/deep`, { recursive: true });
  await writeFile(`${tree}/deep/photo`, randomBytes(300_000));
  await link(`${tree}/deep/photo`, `${tree}/same photo\nwith two names`);
  await writeFile(`${tree}/text`, 'much the same '.repeat(40_000));
  await writeFile(`${tree}/good`, randomBytes(100_000));
  await writeFile(`${tree}/deep/touched`, randomBytes(50_000));
  const written = Date.now();
  for (const one of [client, other])
    await appendFile(`${one.configDir}/client.toml`, `source = ["${tree}"]\nretry_delay = "1s"\n`);
  for (const one of [client, client, other]) {
    if ((await machine.snapshots('web1')).length === 1) await untilSettled(written);
    await writeFile(`${tree}/day`, `${Math.random()}`);
    expect(await one.run('byteback-backup')).toExitWith(0);
  }
  names = await machine.snapshots('web1');
}, 200_000);
afterAll(async () => {
  await machine?.dispose();
});

describe('byteback scrub', () => {
  it('finds nothing on a good disk; a limit holds only for its own time', async () => {
    const sysfs = async () => (await must(['sh', '-c', 'cat /sys/fs/btrfs/*/devinfo/1/scrub_speed_max'])).stdout;
    const before = await sysfs();
    const { exitCode, report } = await scrub('--limit', '1G');
    expect(exitCode).toBe(0);
    expect(report).toMatchObject({ status: 'ok', uncorrectable: 0, damaged: [], unplaced: 0 });
    expect(await sysfs()).toBe(before);
    expect(await events()).toEqual([]);
  });

  it('names each damaged file, of one client, in all snapshots and with all of its names', async () => {
    await spoil(machine.image, `${client.place}/snapshots/${names[0]}/fs${tree}/deep/photo`);
    await spoil(machine.image, `${client.place}/snapshots/${names[0]}/fs${tree}/text`);
    await spoil(machine.image, `${client.place}/snapshots/${names[0]}/fs${tree}/deep/touched`);
    const { exitCode, report } = await scrub();
    expect(exitCode).toBe(3);
    expect(report).toMatchObject({ status: 'partial', uncorrectable: 3, unplaced: 0 });
    expect(report.damaged).toEqual([
      { client: 'web1', path: `${tree}/deep/photo`, snapshots: names, current: 'damaged', foundAt: expect.any(String) },
      {
        client: 'web1',
        path: `${tree}/deep/touched`,
        snapshots: names,
        current: 'damaged',
        foundAt: expect.any(String),
      },
      {
        client: 'web1',
        path: `${tree}/same photo\\x0awith two names`,
        snapshots: names,
        current: 'damaged',
        foundAt: expect.any(String),
      },
      { client: 'web1', path: `${tree}/text`, snapshots: names, current: 'damaged', foundAt: expect.any(String) },
    ]);
    const [event] = await events();
    expect(event).toMatchObject({ client: 'web1', what: expect.stringContaining('the next backup sends 4 of them') });
    expect(event?.why).toContain(`${tree}/text (in ${names.join(' and ')})`);
  });

  it('is right: a restore from an old snapshot fails for just these, by name, with exit 3', async () => {
    const words = ['--restore', '--all-files', '--snapshot', names[0] ?? '', '--to', `${machine.disk}/old`, '--json'];
    const outcome = await client.run('byteback-restore', ...words);
    expect(outcome.exitCode).toBe(3);
    const { failed, files } = JSON.parse(outcome.stdout) as { failed: { path: string; why: string }[]; files: number };
    // `good` and `day`: rsync tries to bring the others twice.
    expect(files).toBe(2);
    const failedNames = failed.map(({ path }) => path);
    expect(failedNames).toContain(`${tree}/text`);
    expect(failedNames).not.toContain(`${tree}/good`);
    expect(await readFile(`${machine.disk}/old${tree}/good`)).toEqual(await readFile(`${tree}/good`));
  });

  it('leaves them for a run of everything: a run of one source removes nothing', async () => {
    // But what has another change time it compares by checksum, and so sends it anew.
    const { atime, mtime } = await stat(`${tree}/deep/touched`);
    await utimes(`${tree}/deep/touched`, atime, mtime);
    expect(await client.run('byteback-backup', '--source', `${tree}/deep`)).toExitWith(0);
    const [, , third = ''] = await machine.snapshots('web1');
    const where = (await scrub('--list')).report.damaged.map(({ path, snapshots, current }) => ({
      path: path.slice(tree.length),
      snapshots,
      current,
    }));
    expect(where).toEqual([
      { path: '/deep/photo', snapshots: [...names, third], current: 'damaged' },
      { path: '/deep/touched', snapshots: names, current: 'sent again' },
      { path: '/same photo\\x0awith two names', snapshots: [...names, third], current: 'damaged' },
      { path: '/text', snapshots: [...names, third], current: 'damaged' },
    ]);
    expect((await events()).at(-1)).toMatchObject({
      client: 'web1',
      what: '1 damaged file was sent again',
      why: `still damaged: ${tree}/deep/touched in ${names.join(' and ')}`,
    });
    // The disk says the same.
    expect((await scrub()).report.damaged.map(({ snapshots, current }) => ({ snapshots, current }))).toEqual(
      where.map(({ snapshots, current }) => ({ snapshots, current })),
    );
  });
});

describe('the next backup', () => {
  it('sends them again; the old snapshots stay damaged, and that is said', async () => {
    expect(await client.run('byteback-backup')).toExitWith(0);
    const newest = (await machine.snapshots('web1')).at(-1);
    const plain = { attributes: false, rights: false, directoryTimes: false };
    expect(await compareTrees(tree, `${client.place}/snapshots/${newest}/fs${tree}`, plain)).toEqual([]);
    expect(await client.run('byteback', 'verify')).toExitWith(0);
    const mended = (await events()).at(-1);
    expect(mended).toMatchObject({ client: 'web1', what: '3 damaged files were sent again' });
    expect(mended?.why).toContain(`still damaged: ${tree}/deep/photo in 3 snapshots from ${names[0]}`);
    const told = (await scrub('--list')).report.damaged;
    const { report } = await scrub();
    expect(report.damaged).toEqual(told);
    expect(report.damaged.map(({ current }) => current)).toEqual(Array.from({ length: 4 }, () => 'sent again'));
    const third = (await machine.snapshots('web1')).slice(0, 3);
    expect(report.damaged.map(({ snapshots }) => snapshots)).toEqual([third, names, third, third]);
    const list = await machine.clientToBe('root').run('byteback', 'scrub', '--list');
    expect(list.stdout).toMatch(/was sent again/);
  });

  it('sends nothing twice', async () => {
    const outcome = await client.run('byteback-backup', '--json');
    expect(JSON.parse(outcome.stdout)).toMatchObject({ walk: null, figures: { sentFiles: 0 } });
  });
});

describe('more damage than the kernel tells of', () => {
  const many = 40;
  let rotten: TestClient;
  let place = '';
  const its = (report: Report) => report.damaged.filter(({ client }) => client === 'web3');

  beforeAll(async () => {
    rotten = await machine.client('web3');
    place = `${machine.disk}/many`;
    await mkdir(`${place}/deep`, { recursive: true });
    for (let file = 0; file < many; file += 1) await writeFile(`${place}/deep/${file}`, randomBytes(20_000));
    await writeFile(`${place}/older`, randomBytes(20_000));
    const written = Date.now();
    await appendFile(`${rotten.configDir}/client.toml`, `source = ["${place}"]\nretry_delay = "1s"\n`);
    expect(await rotten.run('byteback-backup')).toExitWith(0);
    await writeFile(`${place}/older`, randomBytes(30_000));
    await untilSettled(written);
    expect(await rotten.run('byteback-backup')).toExitWith(0);
    const [first] = await machine.snapshots('web3');
    const stored = `${rotten.place}/snapshots/${first}/fs${place}`;
    await spoil(
      machine.image,
      ...Array.from({ length: many }, (_, file) => `${stored}/deep/${file}`),
      `${stored}/older`,
    );
  }, 100_000);

  it('is named file by file all the same, in each snapshot that holds it', async () => {
    const snapshots = await machine.snapshots('web3');
    const { exitCode, report, stderr } = await scrub();
    expect(exitCode).toBe(3);
    expect(stderr).toMatch(/the kernel did not say where \d+ errors are/);
    expect(report.unplaced).toBe(0);
    expect(its(report).map(({ path }) => path)).toEqual(
      [...Array.from({ length: many }, (_, file) => `${place}/deep/${file}`), `${place}/older`].toSorted(),
    );
    for (const { path, snapshots: damagedIn, current } of its(report)) {
      const isOld = path === `${place}/older`;
      expect([damagedIn, current]).toEqual(isOld ? [snapshots.slice(0, 1), 'whole'] : [snapshots, 'damaged']);
    }
  });

  it('stands in snapshots that were taken since, and the list says so', async () => {
    expect(await rotten.run('byteback-backup', '--source', `${place}/deep`)).toExitWith(0);
    const snapshots = await machine.snapshots('web3');
    expect(snapshots).toHaveLength(3);
    const [first] = its((await scrub('--list')).report);
    expect(first?.snapshots).toEqual(snapshots);
  });

  it('is said when it cannot be mended, and the backup is made', async () => {
    const directory = `${rotten.place}/current/fs${place}/deep`;
    await must(['chattr', '+i', directory]);
    try {
      expect(await rotten.run('byteback-backup')).toExitWith(0);
    } finally {
      await must(['chattr', '-i', directory]);
    }
    expect((await events()).at(-1)).toMatchObject({
      client: 'web3',
      what: 'damaged files could not be removed from its newest state, and are not sent again',
    });
    expect(its((await scrub('--list')).report)[0]?.current).toBe('damaged');
  });

  it('is mended by the next', async () => {
    expect(await rotten.run('byteback-backup')).toExitWith(0);
    expect(its((await scrub('--list')).report).map(({ current }) => current)).toEqual([
      ...Array.from({ length: many }, () => 'sent again'),
      'whole',
    ]);
    expect(await rotten.run('byteback', 'verify')).toExitWith(0);
  });
});
