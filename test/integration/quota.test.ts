import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSimpleQuota, quotaMode } from '../../src/system/btrfs-quota.ts';
import { command, must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';
import { type Wire, wireOf } from '../helpers/wire.ts';

// A store that was set up with --quota: the kernel itself stops a client.

const mebibyte = 2 ** 20;
let machine: InstalledMachine;
let web1: TestClient;
let web2: TestClient;
let wire: Wire;

beforeAll(async () => {
  machine = await installedMachine({ size: '1G', serverArguments: ['--quota'] });
  web1 = await machine.client('web1');
  web2 = await machine.client('web2');
  wire = wireOf(machine, web1);
});

afterAll(async () => {
  await machine?.dispose();
});

async function treeOf(name: string, mebibytes: number): Promise<string> {
  const directory = join(machine.disk, name);
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  for (let i = 0; i < mebibytes; i += 1) await writeFile(join(directory, `file${i}`), randomBytes(mebibyte));
  return `${directory}/`;
}

const fs = () => join(web1.place, 'current/fs');
const charge = async () => {
  await must(['sync', '-f', '/byteback']);
  const quota = await openSimpleQuota('/byteback');
  return (await quota?.chargedBytes(join(web1.place, 'current'))) ?? Number.NaN;
};
const freeBytes = async () => {
  await must(['sync', '-f', '/byteback']);
  return Number((await must(['df', '--output=avail', '-B1', '/byteback'])).stdout.trim().split('\n').at(-1));
};

describe('set-up', () => {
  it('turned them on, and finds them on when it is run again', async () => {
    expect(await quotaMode('/byteback')).toBe('simple');
    expect(await command(['byteback-setup-server', '--quota', '--yes'])).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('Nothing had to be changed'),
    });
  });

  it('refuses them where clients are, and where there are full ones', async () => {
    await must(['btrfs', 'quota', 'disable', '/byteback']);
    expect(await command(['byteback-setup-server', '--quota', '--yes'])).toMatchObject({
      exitCode: 12,
      stderr: expect.stringContaining('it holds clients already'),
    });
    await must(['btrfs', 'quota', 'enable', '/byteback']);
    expect(await quotaMode('/byteback')).toBe('full');
    expect(await command(['byteback-setup-server', '--quota', '--yes'])).toMatchObject({
      exitCode: 12,
      stderr: expect.stringContaining('full quotas'),
    });
    await must(['btrfs', 'quota', 'disable', '/byteback']);
    // Nothing has been written by the clients yet, so that what follows counts everything.
    await must(['perl', '-e', 'open($f,"<","/byteback"); $a=pack("QQ",4,0); ioctl($f,0xC0109428,$a) or die']);
    expect(await quotaMode('/byteback')).toBe('simple');
  });
});

describe('a client that floods', () => {
  it('stops exactly at what its run may write, and costs nobody else a snapshot', async () => {
    await wireOf(machine, web2).backUp(await treeOf('honest', 8));
    await wire.backUp(await treeOf('small', 4));
    const others = await machine.snapshots('web2');
    const reserve = 0.05 * 2 ** 30;
    await must(['fallocate', '-l', String((await freeBytes()) - 150 * mebibyte), '/byteback/filler']);
    const from = await treeOf('flood', 200);
    const before = await charge();
    const run = await wire.prepare();
    const quota = await openSimpleQuota('/byteback');
    const limit = (await quota?.limitBytes(join(web1.place, 'current'))) ?? Number.NaN;
    expect(limit).toBeGreaterThan(before);
    const { exitCode, stderr } = await wire.push(run, from);
    expect(stderr).toMatch(/Disk quota exceeded|the store is full|may write/);
    expect(exitCode).not.toBe(0);
    expect(await charge()).toBeLessThanOrEqual(limit);
    // The reserve holds to the slack that lets a client delete.
    expect(await freeBytes()).toBeGreaterThan(reserve - 17 * mebibyte);
    expect(await wire.reply('outcome', { run })).toMatchObject({ failure: { exit: 'storeFull' } });
    expect((await wire.complete(run)).exitCode).toBe(13);
    expect(await machine.snapshots('web2')).toEqual(others);
    // The limit stays for this run's next transfer, and does not grow by trying.
    await wire.push(run, from);
    expect(await charge()).toBeLessThanOrEqual(limit);
    await rm('/byteback/filler');
    // What it has left there can be deleted by its own next run, which then is as any other.
    await wire.backUp(await treeOf('small', 4), '--delete');
    expect((await readdir(fs())).length).toBe(4);
    expect(await quota?.limitBytes(join(web1.place, 'current'))).toBeUndefined();
    expect(await machine.snapshots('web2')).toEqual(others);
  });
});

describe('sizes', () => {
  it('are exact: what a run wrote, and what a deletion freed, whatever others write meanwhile', async () => {
    const ledger = async () =>
      JSON.parse(await readFile('/byteback/.byteback/ledger/state.json', 'utf8')).clients.web1 as {
        chargedBytes: number;
        history: { runs: { writtenBytes: number }[] };
      };
    for (let i = 0; i < 4; i += 1) await wire.backUp(await treeOf('small', 20), '--delete');
    await must(['byteback-prune']);
    const { history, chargedBytes } = await ledger();
    const wrote = history.runs.at(-1)?.writtenBytes ?? Number.NaN;
    expect(wrote).toBeGreaterThan(19.9 * mebibyte);
    expect(wrote).toBeLessThan(21 * mebibyte);
    expect(Math.abs(chargedBytes - (await charge()))).toBeLessThan(mebibyte);

    const all = await machine.snapshots('web1');
    const before = await charge();
    const writing = must(['sh', '-c', 'head -c 20M /dev/urandom > /byteback/other; sync -f /byteback']);
    // What may go is more than both: for an aim out of reach nothing would be deleted.
    await command(['byteback-prune', '--free', String((await freeBytes()) + 15 * mebibyte)]);
    await writing;
    const gone = all.length - (await machine.snapshots('web1')).length;
    expect(gone).toBeGreaterThan(0);
    const lines = (await readFile(`/byteback/.byteback/ledger/${new Date().getUTCFullYear()}.jsonl`, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { event: string; client: string; freedBytes: number })
      .filter(({ event, client }) => event === 'pruned' && client === 'web1');
    const freed = lines.slice(-gone).reduce((sum, { freedBytes }) => sum + freedBytes, 0);
    expect(Math.abs(freed - (before - (await charge())))).toBeLessThan(mebibyte);
    await rm('/byteback/other');
  });
});
