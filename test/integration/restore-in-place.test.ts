import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstatSync, readdirSync } from 'node:fs';
import { mkdir, readFile, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { must } from '../helpers/command.ts';
import { compareTrees } from '../helpers/compare-trees.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../helpers/installed-machine.ts';

// A restore where something of another kind has the name of what comes: it is asked about, and kept.
let machine: InstalledMachine;
let client: TestClient;
let tree = '';
let copy = '';

const makers = {
  file: (path: string) => writeFile(path, `file ${path}`),
  directory: async (path: string) => {
    await mkdir(`${path}/inner`, { recursive: true });
    await writeFile(`${path}/inner/diary`, `diary ${path}`);
  },
  'link to a file': (path: string) => symlink('/etc/passwd', path),
  'link to a directory': (path: string) => symlink('/etc', path),
  fifo: (path: string) => must(['mkfifo', path]),
  socket: (path: string) => must(['python3', '-c', `import socket; socket.socket(socket.AF_UNIX).bind('${path}')`]),
  device: (path: string) => must(['mknod', path, 'c', '1', '3']),
} as const;
type Kind = keyof typeof makers;
const kinds = Object.keys(makers) as Kind[];
const isLink = (kind: Kind) => kind.startsWith('link');
const short = (kind: Kind) => kind.replaceAll(' ', '-');
const others = (wanted: Kind) => kinds.filter((kind) => kind !== wanted && !(isLink(kind) && isLink(wanted)));

beforeAll(async () => {
  machine = await installedMachine();
  client = await machine.client('web1');
  tree = `${machine.disk}/t`;
  copy = `${machine.disk}/copy`;
  for (const wanted of kinds) {
    await mkdir(`${tree}/${short(wanted)}`, { recursive: true });
    for (const found of others(wanted)) await makers[wanted](`${tree}/${short(wanted)}/${short(found)}`);
  }
  await mkdir(`${tree}/way/d`, { recursive: true });
  await writeFile(`${tree}/way/d/f`, 'precious');
  await mkdir(`${tree}/cut/d`, { recursive: true });
  for (let at = 0; at < 40; at += 1) await writeFile(`${tree}/cut/d/${at}`, Buffer.alloc(400_000, `${at}`));
  await writeFile(`${tree}/cut/x`, 'a file');
  await must(['cp', '-a', tree, copy]);
  expect(await client.run('byteback-backup', '--source', tree)).toExitWith(0);
}, 300_000);
afterAll(async () => {
  await machine?.dispose();
});

const restore = (...words: string[]) => client.run('byteback-restore', '--restore', ...words);
const kindOf = (path: string) => lstatSync(path).mode & 0o170000;

it.each(kinds)('asks before what is there gives way to a %s, and keeps it', async (wanted) => {
  const place = `${tree}/${short(wanted)}`;
  const there = others(wanted);
  const was = new Map<Kind, number>();
  for (const found of there) {
    const path = `${place}/${short(found)}`;
    await rm(path, { recursive: true });
    await makers[found](path);
    was.set(found, kindOf(path));
  }
  const before = readdirSync(place, { recursive: true });
  const paths = there.map((found) => `${place}/${short(found)}`);
  const refused = await restore('--in-place', ...paths);
  expect(refused).toExitWith(2);
  for (const path of paths) expect(refused.stderr).toContain(`would move aside ${path}: it is `);
  expect(readdirSync(place, { recursive: true })).toEqual(before);

  expect(await restore('--in-place', '--yes', ...paths)).toExitWith(0);
  for (const found of there) {
    const names = readdirSync(place).filter((name) => name.startsWith(`${short(found)}.before-`));
    expect(names).toHaveLength(1);
    const kept = `${place}/${names[0]}`;
    expect(kindOf(kept)).toBe(was.get(found));
    const path = `${place}/${short(found)}`;
    if (found === 'file') expect(await readFile(kept, 'utf8')).toBe(`file ${path}`);
    if (found === 'directory') expect(await readFile(`${kept}/inner/diary`, 'utf8')).toBe(`diary ${path}`);
    if (found === 'link to a directory') expect(await readlink(kept)).toBe('/etc');
    await rm(kept, { recursive: true });
  }
  await must(['touch', '-r', `${copy}/${short(wanted)}`, place]);
  expect(await compareTrees(`${copy}/${short(wanted)}`, place)).toEqual([]);
});

it('keeps a directory also where what is there is to be replaced for good', async () => {
  const path = `${tree}/file/directory`;
  await rm(path);
  await makers.directory(path);
  expect(await restore('--in-place', '--overwrite', path)).toExitWith(2);
  expect(await restore('--in-place', '--overwrite', '--yes', path)).toExitWith(0);
  const kept = readdirSync(`${tree}/file`).find((name) => name.startsWith('directory.before-'));
  expect(await readFile(`${tree}/file/${kept}/inner/diary`, 'utf8')).toBe(`diary ${path}`);
  expect(await readFile(path, 'utf8')).toBe(`file ${path}`);
  const to = `${machine.disk}/to`;
  await makers.directory(`${to}${path}`);
  expect(await restore('--overwrite', '--to', to, path)).toExitWith(0);
  const beside = readdirSync(`${to}${tree}/file`).find((name) => name.startsWith('directory.before-'));
  expect(await readFile(`${to}${tree}/file/${beside}/inner/diary`, 'utf8')).toContain('diary');
});

it('goes on with the same command when it was killed after something had been moved aside', async () => {
  const place = `${tree}/cut`;
  await rm(`${place}/d`, { recursive: true });
  await rm(`${place}/x`);
  await writeFile(`${place}/d`, 'a file where a directory was');
  await makers.directory(`${place}/x`);
  const argv = ['--restore', '--in-place', '--yes', place];
  const child = spawn('byteback-restore', argv, { env: { ...process.env, ...client.env }, stdio: 'ignore' });
  const ended = once(child, 'close');
  const moved = () => readdirSync(place).filter((name) => name.includes('.before-'));
  while (moved().length < 2 && child.exitCode === null) await sleep(1);
  child.kill('SIGKILL');
  await ended;
  expect(child.signalCode).toBe('SIGKILL');
  expect(await client.run('byteback-restore', ...argv)).toExitWith(0);
  const kept = moved();
  expect(kept.map((name) => name.slice(0, 2)).toSorted()).toEqual(['d.', 'x.']);
  for (const name of kept) {
    const path = `${place}/${name}`;
    expect(await readFile(name.startsWith('d') ? path : `${path}/inner/diary`, 'utf8')).toMatch(
      /^(a file where|diary)/,
    );
    await rm(path, { recursive: true });
  }
  await must(['touch', '-r', `${copy}/cut`, place]);
  expect(await compareTrees(`${copy}/cut`, place)).toEqual([]);
});

it('writes nothing through a link that was planted on the way', async () => {
  const elsewhere = `${machine.disk}/elsewhere`;
  await mkdir(elsewhere);
  await rename(`${tree}/way/d`, `${tree}/way/old`);
  await symlink(elsewhere, `${tree}/way/d`);
  const refused = await restore('--in-place', '--yes', `${tree}/way/d/f`);
  expect(refused).toExitWith(2);
  expect(refused.stderr).toContain(`${tree}/way/d is a link, and a directory in the snapshot`);
  // With the directory itself, the link is what gives way.
  expect(await restore('--in-place', '--yes', `${tree}/way/d`)).toExitWith(0);
  expect(await readFile(`${tree}/way/d/f`, 'utf8')).toBe('precious');
  expect(readdirSync(elsewhere)).toEqual([]);

  const to = `${machine.disk}/planted`;
  await mkdir(to);
  await symlink(elsewhere, `${to}/${tree.split('/')[1]}`);
  expect(await restore('--to', to, `${tree}/way/d/f`)).toExitWith(2);
  await symlink(elsewhere, `${machine.disk}/users`);
  await must(['chown', '-h', '1000:1000', `${machine.disk}/users`]);
  const foreign = await restore('--to', `${machine.disk}/users`, `${tree}/way/d/f`);
  expect(foreign).toExitWith(2);
  expect(foreign.stderr).toContain('is a link that belongs to user 1000');
  expect(readdirSync(elsewhere)).toEqual([]);
  // Root's own link is root's word.
  await symlink(elsewhere, `${machine.disk}/own`);
  expect(await restore('--to', `${machine.disk}/own`, `${tree}/way/d/f`)).toExitWith(0);
  expect(await readFile(`${elsewhere}${tree}/way/d/f`, 'utf8')).toBe('precious');
});
