/**
 * Random edits of a tree: everything that people, editors and package managers do to files, and some things that they
 * should not. The same seed makes the same edits, as far as the file system gives the same inodes.
 */
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  cpSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { command } from './command.ts';

/** A generator of numbers from 0 to 1 that can be run again (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const oddNames = [
  'with space',
  'new\nline',
  '-rf',
  '*?[x]',
  'back\\slash',
  '\xff\xfe',
  '\xc3\xa9',
  '#x',
  ' ',
  'a!',
  'a',
  'b',
  'c',
  'a0',
];

/** Makes some edits below a directory. Names are bytes: paths are latin1 strings here. */
export async function editTree(root: string, random: () => number, edits: number): Promise<string[]> {
  const told: string[] = [];
  const at = (path: string) => Buffer.from(path, 'latin1');
  const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
  const below = (directory: string, depth = 0): { path: string; isDirectory: boolean; isFile: boolean }[] =>
    readdirSync(at(directory), { withFileTypes: true, encoding: 'buffer' }).flatMap((each) => {
      const path = `${directory}/${each.name.toString('latin1')}`;
      const found = { path, isDirectory: each.isDirectory(), isFile: each.isFile() };
      return found.isDirectory && depth < 8 ? [found, ...below(path, depth + 1)] : [found];
    });
  const newPlace = (all: { path: string; isDirectory: boolean }[]) => {
    const directory = pick([root, ...all.filter((each) => each.isDirectory).map(({ path }) => path)]) ?? root;
    const name = random() < 0.4 ? (pick(oddNames) ?? 'a') : `n${Math.floor(random() * 40)}`;
    return `${directory}/${name}`;
  };
  const content = () => {
    const size = random() < 0.06 ? 1_100_000 + Math.floor(random() * 2_000_000) : Math.floor(random() ** 3 * 30_000);
    return Buffer.alloc(size, Buffer.from(`${random()}`));
  };
  for (let edit = 0; edit < edits; edit += 1) {
    const all = below(root);
    const file = pick(all.filter((each) => each.isFile))?.path;
    const other = pick(all.filter((each) => each.isFile))?.path;
    const directory = pick(all.filter((each) => each.isDirectory))?.path;
    const any = pick(all)?.path;
    const place = newPlace(all);
    const kind = Math.floor(random() * 26);
    told.push(`${kind} ${JSON.stringify({ file, other, directory, any, place })}`);
    try {
      if (kind <= 2) writeFileSync(at(place), content());
      else if (kind === 3) mkdirSync(at(`${place}/x${edit}/y`), { recursive: true });
      else if (kind === 4 && file) appendFileSync(at(file), content());
      else if (kind === 5 && file) truncateSync(at(file), Math.floor(lstatSync(at(file)).size / 2));
      else if (kind <= 7 && file) {
        // Same size, other content, the old time: only the ctime tells.
        const { size, mtime, atime } = lstatSync(at(file));
        const handle = openSync(at(file), 'r+');
        writeSync(handle, Buffer.alloc(size, `${random()}`));
        closeSync(handle);
        utimesSync(at(file), atime, mtime);
      } else if (kind === 8 && any) {
        if (!lstatSync(at(any)).isSymbolicLink()) chmodSync(at(any), 0o600 + Math.floor(random() * 64));
      } else if (kind === 9 && file) chownSync(at(file), Math.floor(random() * 3000), Math.floor(random() * 3000));
      else if (kind === 10 && file) await byName(['setfattr', '-n', 'user.test', '-v', `${random()}`], file);
      else if (kind === 11 && any) await byName(['setfacl', '-m', `u:${Math.floor(random() * 3000)}:r`], any);
      else if (kind <= 13 && file) linkSync(at(file), at(place));
      else if (kind === 14 && any) rmSync(at(any), { recursive: true, force: true });
      else if (kind === 15 && file) {
        // A link group is split as editors do it.
        writeFileSync(at(`${file}.new`), content());
        renameSync(at(`${file}.new`), at(file));
      } else if (kind === 16 && file && other && file !== other) {
        rmSync(at(file));
        linkSync(at(other), at(file));
      } else if (kind === 17 && file) {
        // The inode is used again at once.
        const old = readFileSync(at(file));
        const { mtime, atime } = lstatSync(at(file));
        rmSync(at(file));
        writeFileSync(at(place), Buffer.alloc(old.length, 'reused'));
        utimesSync(at(place), atime, mtime);
      } else if (kind <= 19 && any) renameSync(at(any), at(place));
      else if (kind === 20 && directory) renameSync(at(directory), at(place));
      else if (kind === 21 && directory) {
        const second = pick(all.filter((each) => each.isDirectory && !isNested(each.path, directory)))?.path;
        if (second) swap(directory, second);
      } else if (kind === 22 && file && other && file !== other) swap(file, other);
      else if (kind === 23 && directory) {
        rmSync(at(directory), { recursive: true });
        writeFileSync(at(directory), 'a file now');
      } else if (kind === 24 && file) {
        rmSync(at(file));
        mkdirSync(at(file));
        writeFileSync(at(`${file}/inside`), content());
      } else if (kind === 25) {
        if (random() < 0.5) symlinkSync('some/target', at(place));
        else if (directory)
          cpSync(Buffer.from(directory, 'latin1').toString('utf8'), place, { recursive: true, force: false });
      }
    } catch (error) {
      // What the file system refuses (a name that is taken, a directory into itself) is no edit.
      if (typeof (error as NodeJS.ErrnoException).code !== 'string') throw error;
    }
  }
  return told;

  function isNested(one: string, two: string): boolean {
    return one === two || one.startsWith(`${two}/`) || two.startsWith(`${one}/`);
  }
  function swap(one: string, two: string): void {
    const aside = at(`${root}/aside`);
    if (existsSync(aside)) return;
    renameSync(at(one), aside);
    try {
      renameSync(at(two), at(one));
    } catch (error) {
      // A mount cannot be renamed.
      renameSync(aside, at(one));
      throw error;
    }
    renameSync(aside, at(two));
  }
}

/** Runs a program on a file whose name may be no text: it goes over xargs' standard input. */
async function byName(argv: readonly string[], path: string): Promise<void> {
  await command(['xargs', '-0', ...argv], { input: Buffer.from(`${path}\0`, 'latin1') });
}
