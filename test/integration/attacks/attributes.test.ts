import { chmod, chown, mkdir, rm, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { must } from '../../helpers/command.ts';
import { type InstalledMachine, installedMachine, type TestClient } from '../../helpers/installed-machine.ts';

// What a user sets as an extended attribute on a client must not speak for the server to whoever restores it.

let machine: InstalledMachine;
let mallory: TestClient;
let tree: string;

/** What `setcap cap_setuid+ep` writes. */
const capability = '0x0100000280000000000000000000000000000000';
const daemon = 1;

beforeAll(async () => {
  machine = await installedMachine({ size: '2G' });
  mallory = await machine.client('mallory.example');
  tree = `${machine.disk}/mallory`;
  await mkdir(tree);
});

afterAll(async () => {
  await machine?.dispose();
});

async function fileWith(
  name: string,
  attributes: Readonly<Record<string, string>>,
  { uid, mode } = { uid: daemon, mode: 0o755 },
): Promise<string> {
  const path = `${tree}/${name}`;
  await writeFile(path, name);
  await chown(path, uid, uid);
  await chmod(path, mode);
  for (const [attribute, value] of Object.entries(attributes))
    await must(['setfattr', '-n', attribute, '-v', value, path]);
  return path;
}

const attributesOf = async (path: string) =>
  (await must(['getfattr', '-h', '-d', '-m-', '-e', 'hex', '--absolute-names', path])).stdout;
const failedIn = (stdout: string) =>
  (JSON.parse(stdout) as { failed: { path: string }[] }).failed.map(({ path }) => path).toSorted();

it.each([
  ['AT01 into a directory of its own', ['--to']],
  ['AT02 over what is there', ['--overwrite', '--to']],
])("%s: a user's own attributes become no rights, by whichever name", async (_, words) => {
  await rm(tree, { recursive: true });
  await mkdir(tree);
  const names = ['security.capability', 'security.x', 'trusted.x', 'system.posix_acl_access', 'x', 'user.rsync.x'];
  const planted: string[] = [];
  for (const [at, name] of names.entries())
    planted.push(await fileWith(`own-${at}`, { [`user.rsync.${name}`]: capability, 'user.kept': '0x61' }));
  const plant = { 'user.rsync.security.capability': capability, 'user.kept': '0x61' };
  planted.push(await fileWith("root's, for all", plant, { uid: 0, mode: 0o777 }));
  const capable = await fileWith(
    'capable',
    { 'security.capability': capability, 'trusted.y': '0x62' },
    { uid: 0, mode: 0o755 },
  );
  const backup = await mallory.run('byteback-backup', '--source', tree);
  expect([0, 3], backup.stderr).toContain(backup.exitCode);
  const out = `${machine.disk}/out`;
  if (words.includes('--overwrite')) {
    await mkdir(`${out}${tree}`, { recursive: true });
    for (const path of planted) await must(['cp', path, `${out}${path}`]);
  }
  const outcome = await mallory.run('byteback-restore', '--restore', '--json', ...words, out, tree);
  expect(outcome.exitCode, outcome.stderr).toBe(3);
  expect(failedIn(outcome.stdout)).toEqual(planted.toSorted());
  for (const path of planted)
    expect(await attributesOf(`${out}${path}`)).toBe(`# file: ${out}${path}\nuser.kept=0x61\n\n`);
  // A file of root that nobody else can write comes back whole.
  expect(await attributesOf(`${out}${capable}`)).toBe(
    (await attributesOf(capable)).replace(capable, `${out}${capable}`),
  );
  await rm(out, { recursive: true });
});

it("AT03 on the server a client's file gives no right, whoever owns it", async () => {
  const capable = `${tree}/capable`;
  const out = `${machine.disk}/out-server`;
  const words = ['--client', 'mallory.example', '--restore', '--json', '--to', out, capable];
  const outcome = await mallory.run('byteback-restore', ...words);
  expect(outcome.exitCode, outcome.stderr).toBe(0);
  expect(JSON.parse(outcome.stdout)).toMatchObject({ failed: [], leftOut: { capabilities: 1 } });
  expect(await attributesOf(`${out}${capable}`)).toBe('');
});
