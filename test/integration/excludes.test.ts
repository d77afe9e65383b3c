import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compileRules } from '../../src/catalogue/excludes.ts';
import { decodeRsyncName } from '../../src/system/rsync-output.ts';
import { run } from '../../src/system/run.ts';

// One tree of awkward names, many random rules: what the matcher lets through must be what rsync lists.
const names = [
  'a',
  'b',
  'ab',
  'abc',
  '.c',
  'a.o',
  'a*',
  '[b]',
  'a\\b',
  'b?',
  'A',
  'x y',
  '-',
  'n\nl',
  '\xe9',
  '\xff\xfe',
  '\xc3\xa9',
];
const paths: { path: string; isDirectory: boolean }[] = [];
let tree = '';
let work = '';

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'byteback-excludes-'));
  tree = join(work, 'tree');
  await mkdir(join(work, 'empty'), { recursive: true });
  const add = async (directory: string, depth: number) => {
    await mkdir(Buffer.from(join(tree, directory), 'latin1'), { recursive: true });
    // The deeper, the fewer names: the product would be large.
    const here = depth === 0 ? names : names.filter((_, index) => (index + depth + directory.length) % 3 === 0);
    for (const [index, name] of here.entries()) {
      const path = directory === '' ? name : `${directory}/${name}`;
      const isDirectory = depth < 3 && index % 2 === 0;
      paths.push({ path, isDirectory });
      if (isDirectory) await add(path, depth + 1);
      else await writeFile(Buffer.from(join(tree, path), 'latin1'), '');
    }
  };
  await add('', 0);
});

afterAll(() => rm(work, { recursive: true, force: true }));

async function listedByRsync(rules: readonly string[]): Promise<string[]> {
  const file = join(work, 'rules');
  await writeFile(file, Buffer.from(rules.map((rule) => `${rule}\0`).join(''), 'latin1'));
  const argv: [string, ...string[]] = [
    'rsync',
    '-rn',
    '--from0',
    `--filter=merge ${file}`,
    '--delete-excluded',
    '--delete',
    '--out-format=%n',
    `${tree}/`,
    `${work}/empty/`,
  ];
  const { stdout } = await run(argv);
  return stdout
    .toString('latin1')
    .split('\n')
    .filter((line) => line !== '' && line !== './')
    .map((line) => decodeRsyncName(line).toString('latin1').replace(/\/$/, ''))
    .sort();
}

function listedByMatcher(rules: readonly string[]): string[] {
  const matcher = compileRules(rules);
  if ('notExpressible' in matcher) throw new Error(`not expressible: ${matcher.notExpressible}`);
  const excluded = new Set<string>();
  const listed: string[] = [];
  for (const { path, isDirectory } of paths) {
    const parent = dirname(path);
    if (excluded.has(parent) || matcher.verdict(path, isDirectory) === 'exclude') excluded.add(path);
    else listed.push(path);
  }
  return listed.sort();
}

async function compare(rules: readonly string[]): Promise<void> {
  const ours = new Set(listedByMatcher(rules));
  const theirs = new Set(await listedByRsync(rules));
  // The first few differences say more than two lists of a thousand names.
  expect({
    onlyOurs: [...ours.difference(theirs)].slice(0, 5),
    onlyTheirs: [...theirs.difference(ours)].slice(0, 5),
  }).toEqual({
    onlyOurs: [],
    onlyTheirs: [],
  });
}

const part = fc.oneof(
  fc.constantFrom(...names.filter((name) => name !== '-')),
  fc.constantFrom(
    '*',
    '**',
    '?',
    '***',
    '[ab]',
    '[!a]',
    '[^b]*',
    '[[:alpha:]]',
    '[[:punct:]b]',
    '[]b]',
    '[a-c]b',
    '[\\]b]',
    '[b',
    '[[:x:]]',
    '[a-]',
    '[[b]',
    '\\*',
    '\\a',
    'a\\',
    'a*',
    '*b',
    'a**b',
    '?b',
    '\\[b\\]',
    '[\xe0-\xff]',
  ),
);
const pattern = fc
  .tuple(
    fc.constantFrom('', '/', '**/'),
    fc.array(part, { minLength: 1, maxLength: 3 }),
    fc.constantFrom('', '/', '/***', '/**', '/*'),
  )
  .map(([start, parts, end]) => `${start}${parts.join('/')}${end}`);
const rule = fc
  .tuple(fc.constantFrom('- ', '- ', '- ', '+ ', 'P ', 'H ', 'S ', 'R '), pattern)
  .map(([kind, text]) => kind + text);

describe("rsync's rules", () => {
  it('let through what rsync lists, on random rules', { timeout: 1_200_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(rule, { minLength: 1, maxLength: 6 }), async (rules) => {
        await compare(rules);
      }),
      { numRuns: Number(process.env['RUNS'] ?? 200) },
    );
  });

  it('let through what rsync lists, on every kind of single pattern', { timeout: 1_200_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(pattern, async (text) => {
        await compare([`- ${text}`]);
      }),
      { numRuns: Number(process.env['RUNS'] ?? 200) },
    );
  });
});
