/**
 * `node busy-tree.ts SEED DIRECTORY ASIDE DEVICE`: changes a tree without pause, as a busy machine does, until its standard input
 * ends; then lets it rest. Tells what it did, a line each. Names, sizes and times come from small pools, so that one file often
 * looks like another.
 */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { randomFrom } from '../helpers/random-edits.ts';

const [, , seed = '1', tree = '', aside = '', device = ''] = process.argv;
const random = randomFrom(Number(seed));
const below = (count: number) => Math.floor(random() * count);
const pick = <T>(list: readonly T[]): T | undefined => list[below(list.length)];

/** Old, and few: what is given one of them looks like others of its size. */
const times = [1_600_000_000, 1_600_000_000.5, 1_700_000_000];
const sizes = [10, 10, 10, 100, 5000];
const largeBytes = 1_100_000;

interface Found {
  readonly path: string;
  readonly isDirectory: boolean;
}

/** Everything in the tree, the place of the mount and the Maildir's own directories left out. */
function all(directory = tree, depth = 0): Found[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((each) => {
    const path = `${directory}/${each.name}`;
    if (depth === 0 && ['mounted', 'mail'].includes(each.name)) return [];
    const found = { path, isDirectory: each.isDirectory() };
    return found.isDirectory && depth < 4 ? [found, ...all(path, depth + 1)] : [found];
  });
}

function content(): Buffer {
  const size = random() < 0.05 ? largeBytes + below(2) * 4096 : (pick(sizes) ?? 10);
  return Buffer.alloc(size, `${below(1_000_000)} `);
}

/** Some files' times are put back: size and time alone say nothing of them. */
function touch(path: string): void {
  if (random() < 0.6) {
    const time = pick(times) ?? 0;
    utimesSync(path, time, time);
  }
}

/** In place, to another content of the same size, with the old time or not. */
function rewrite(path: string): void {
  const { size, mtime } = lstatSync(path);
  const handle = openSync(path, 'r+');
  try {
    writeSync(handle, Buffer.alloc(size, `${below(1_000_000)} `));
  } finally {
    closeSync(handle);
  }
  if (random() < 0.6) utimesSync(path, mtime, mtime);
}

function newPlace(found: readonly Found[]): string {
  const directory = pick([tree, ...found.filter((each) => each.isDirectory).map(({ path }) => path)]) ?? tree;
  return `${directory}/n${below(12)}`;
}

let isMounted = false;
function mountOrNot(): void {
  if (device === '-') return;
  const argv = isMounted ? ['umount', `${tree}/mounted`] : ['mount', device, `${tree}/mounted`];
  execFileSync(argv[0] ?? '', argv.slice(1), { stdio: 'ignore' });
  isMounted = !isMounted;
}

function change(found: readonly Found[]): string {
  const files = found.filter((each) => !each.isDirectory).map(({ path }) => path);
  const directories = found.filter((each) => each.isDirectory).map(({ path }) => path);
  const [file, other] = [pick(files), pick(files)];
  const [directory, second] = [pick(directories), pick(directories)];
  const place = newPlace(found);
  const kind = below(24);
  const says = (text: string) => `${kind} ${text}`;
  if (kind <= 1) {
    if (files.length > 60) return says('enough');
    writeFileSync(place, content());
    touch(place);
  } else if (kind === 2 && file) appendFileSync(file, 'more');
  else if (kind <= 5 && file) rewrite(file);
  else if (kind <= 7 && file) {
    writeFileSync(`${file}.new`, content());
    if (random() < 0.6) {
      const { mtime } = lstatSync(file);
      utimesSync(`${file}.new`, mtime, mtime);
    } else touch(`${file}.new`);
    renameSync(`${file}.new`, file);
  } else if (kind <= 9 && file) renameSync(file, place);
  else if (kind === 10 && directory && !place.startsWith(`${directory}/`)) renameSync(directory, place);
  else if (kind === 11 && directory && second && !isNested(directory, second)) {
    renameSync(directory, `${aside}/swap`);
    renameSync(second, directory);
    renameSync(`${aside}/swap`, second);
  } else if (kind === 12 && file && other && file !== other) {
    renameSync(file, `${aside}/swap`);
    renameSync(other, file);
    renameSync(`${aside}/swap`, other);
  } else if (kind === 13) {
    mkdirSync(place);
    for (let at = below(4); at >= 0; at -= 1) {
      writeFileSync(`${place}/n${at}`, content());
      touch(`${place}/n${at}`);
    }
  } else if (kind === 14 && file) rmSync(file);
  else if (kind === 15 && directory && random() < 0.4) rmSync(directory, { recursive: true });
  else if (kind === 16 && file) linkSync(file, place);
  else if (kind === 17 && file && other && file !== other) {
    rmSync(file);
    linkSync(other, file);
  } else if (kind === 18) {
    const name = `${below(50)}`;
    writeFileSync(`${tree}/mail/tmp/${name}`, content());
    renameSync(`${tree}/mail/tmp/${name}`, `${tree}/mail/new/${name}`);
  } else if (kind === 19) {
    const name = pick(readdirSync(`${tree}/mail/new`));
    if (name) renameSync(`${tree}/mail/new/${name}`, `${tree}/mail/cur/${name}:2,S`);
  } else if (kind === 20 && file) {
    const { mtime } = lstatSync(other ?? file);
    utimesSync(file, mtime, mtime);
  } else if (kind === 21 && file && random() < 0.3) {
    rmSync(file);
    mkdirSync(file);
    writeFileSync(`${file}/n0`, content());
  } else if (kind === 22 && directory && random() < 0.3) {
    rmSync(directory, { recursive: true });
    writeFileSync(directory, content());
  } else if (kind === 23 && random() < 0.5) mountOrNot();
  else if (isMounted && random() < 0.5) {
    const inside = `${tree}/mounted/m${below(8)}`;
    if (random() < 0.3 && existsSync(inside)) rewrite(inside);
    else {
      writeFileSync(inside, content());
      touch(inside);
    }
  } else return says('nothing');
  return says(JSON.stringify({ file, other, directory, second, place }));
}

function isNested(one: string, two: string): boolean {
  return one === two || one.startsWith(`${two}/`) || two.startsWith(`${one}/`);
}

let isResting = false;
process.stdin.on('end', () => {
  isResting = true;
});
process.stdin.resume();
isMounted = device !== '-' && lstatSync(tree).dev !== lstatSync(`${tree}/mounted`).dev;

while (!isResting) {
  try {
    const found = all();
    const away = found.filter((each) => each.isDirectory)[0];
    if (away !== undefined && random() < 0.05) {
      // Away for a moment, and back again.
      const place = pick(found.filter((each) => each.isDirectory))?.path ?? away.path;
      renameSync(place, `${aside}/away`);
      await sleep(below(400));
      renameSync(`${aside}/away`, place);
      console.log(`away and back ${place}`);
    } else if (device !== '-' && random() < 0.01) {
      mountOrNot();
      await sleep(below(400));
      mountOrNot();
      console.log('the mount came or went, and back');
    } else {
      console.log(change(found));
    }
  } catch (error) {
    // What the file system refuses is no change: a name that is taken, a mount that is in use.
    const { code, status } = error as { code?: unknown; status?: unknown };
    if (typeof code !== 'string' && typeof status !== 'number') throw error;
  }
  await sleep(random() < 0.3 ? below(60) : below(4));
}
if (existsSync(`${aside}/swap`)) renameSync(`${aside}/swap`, `${tree}/back${below(1000)}`);
