import { randomBytes } from 'node:crypto';
import { appendFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';
import { type Wire, wireOf } from '../helpers/wire.ts';

const mebibyte = 1024 * 1024;
let machine: InstalledMachine;
let web1: TestClient;
let wire: Wire;

beforeAll(async () => {
  machine = await installedMachine({ size: '2G' });
  web1 = await machine.client('web1');
  wire = wireOf(machine, web1);
  // So early that the guard is seen to act before the last reserve is touched.
  const config = await readFile('/etc/byteback/server.toml', 'utf8');
  const rest = config.replace(/^\[prune\]\n(?:(?!\[).*\n?)*/m, '');
  await writeFile('/etc/byteback/server.toml', `${rest}\n[prune]\nstart = "20%"\nstop = "30%"\n`);
  const tree = join(machine.disk, 'tree');
  await mkdir(tree);
  for (let day = 0; day < 5; day += 1) {
    await writeFile(join(tree, 'file'), randomBytes(1000 + day));
    await wire.backUp(`${tree}/`);
  }
});
afterAll(async () => {
  await machine?.dispose();
});

async function available(): Promise<number> {
  const { stdout } = await must(['df', '--output=avail', '-B1', '/byteback']);
  return Number(stdout.trim().split('\n').at(-1));
}

describe('a run that is suddenly much larger', () => {
  it('is refused when it announces it, ended when it does not, and let through once when the admin says so', async () => {
    await must(['fallocate', '-l', String((await available()) - 550 * mebibyte), '/byteback/filler']);
    const announce = { protocol: 1, version: 't', machineId: '1'.repeat(64), expectedBytes: 300 * mebibyte, files: 1 };
    expect(await wire.reply('prepare', announce)).toMatchObject({
      ok: false,
      exit: 'storeFull',
      fix: expect.stringContaining('byteback client allow-growth web1'),
    });
    const big = join(machine.disk, 'big');
    await mkdir(big);
    for (let part = 0; part < 20; part += 1) await appendFile(join(big, 'big'), randomBytes(16 * mebibyte));
    const before = await machine.snapshots('web1');
    const run = await wire.prepare();
    const { stderr } = await wire.push(run, `${big}/`);
    expect(stderr).toContain('suddenly much larger');
    expect(await wire.reply('outcome', { run })).toMatchObject({ failure: { exit: 'storeFull' } });
    expect((await wire.complete(run)).exitCode).toBe(13);
    expect(await machine.snapshots('web1')).toEqual(before);
    const held = JSON.parse(await readFile('/byteback/.byteback/holds.json', 'utf8'));
    expect(held.holds).toMatchObject([{ client: 'web1', snapshot: before.at(-1), by: 'growth-guard' }]);

    await must(['byteback', 'client', 'allow-growth', 'web1']);
    await wire.backUp(`${big}/`);
    expect(await machine.snapshots('web1')).not.toEqual(before);
    const after = JSON.parse(await readFile('/byteback/.byteback/holds.json', 'utf8'));
    expect(after).toMatchObject({ holds: [], allowGrowth: [] });
    await rm('/byteback/filler');
  });

  it('byteback-prune tells on the command line what it would do and why', async () => {
    // Old ones may have gone for the large one; some of these can go now.
    for (let day = 0; day < 3; day += 1) await wire.backUp(`${join(machine.disk, 'tree')}/`);
    const list = await must(['byteback-prune', '--list']);
    expect(list.stdout).toContain('In this order snapshots would go');
    expect(list.stdout).toContain('one of the newest 3');
    for (const line of list.stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
    const json = JSON.parse((await must(['byteback-prune', '--list', '--json'])).stdout);
    expect(json).toMatchObject({ mode: 'list', deleted: [] });
    expect(json.decisions).toHaveLength((await machine.snapshots('web1')).length);
    expect(json.decisions.filter(({ verdict }: { verdict: string }) => verdict === 'kept')).toHaveLength(3);
  });
});
