import { readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { shellWord, splitWords } from '../config/command-line.ts';
import { hookOf, hooksIn } from './find-hooks.ts';
import { findingsIn, findingsOfNamed } from './hook-findings.ts';
import { hookFailure, runHook } from './run-hook.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'byteback-hooks-'));
});
afterEach(() => rm(directory, { recursive: true }));

async function script(name: string, text: string, mode = 0o755): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, `#!/bin/sh\n${text}\n`);
  await chmod(path, mode);
  return path;
}
const run = (path: string, timeoutMs = 20_000, signal?: AbortSignal) =>
  runHook(hookOf([path]), { step: 'before', env: { BYTEBACK_STATUS: 'starting' }, timeoutMs, signal });

describe('a hook', () => {
  it('is recorded with its exit and its output, and gets the environment', async () => {
    const outcome = await run(await script('one', 'echo "status $BYTEBACK_STATUS"; echo oops >&2; exit 7'));
    expect(outcome).toMatchObject({ step: 'before', exitCode: 7, timedOut: false });
    expect(outcome.output.split('\n').toSorted()).toEqual(['oops', 'status starting']);
    expect(hookFailure(outcome)).toMatch(/exited 7: (?:oops|status starting)$/);
  });

  it('leaves only the last of much output, and nothing that disturbs a terminal', async () => {
    const { output } = await run(await script('loud', 'yes | head -c 10000000; printf "\\033[31mred\\n"'));
    expect(output.length).toBeLessThan(16_384);
    expect(output.endsWith('\\x1b[31mred')).toBe(true);
  });

  it('is ended with all that it started when its time is over', async () => {
    const pid = join(directory, 'pid');
    const begun = performance.now();
    const outcome = await run(
      await script('slow', `trap "" TERM\nsleep 600 & echo $! > ${pid}; wait; wait; sleep 600`),
      500,
    );
    expect(outcome).toMatchObject({ exitCode: null, timedOut: true });
    expect(performance.now() - begun).toBeLessThan(15_000);
    expect(hookFailure(outcome)).toContain('was ended after');
    const started = Number(await readFile(pid, 'utf8'));
    await expect.poll(() => isAlive(started), { timeout: 5000 }).toBe(false);
  });

  it('may leave something running without anybody waiting for it', async () => {
    const begun = performance.now();
    const outcome = await run(await script('daemon', 'sleep 15 & echo $!'));
    expect(outcome.exitCode).toBe(0);
    expect(performance.now() - begun).toBeLessThan(10_000);
    const left = Number(outcome.output);
    expect(isAlive(left)).toBe(true);
    process.kill(left, 'SIGKILL');
  });

  it('is interrupted', async () => {
    const controller = new AbortController();
    const running = run(await script('slow', 'sleep 600'), 60_000, controller.signal);
    await sleep(200);
    controller.abort();
    expect(await running).toMatchObject({ exitCode: null, timedOut: false });
  });

  it.each([
    ['that is missing', async () => join(directory, 'missing')],
    ['that others can write', () => script('open', 'echo ran', 0o777)],
    [
      'that no program can be made of',
      async () => {
        const path = join(directory, 'binary');
        await writeFile(path, '\x7fELFnonsense', { mode: 0o755 });
        return path;
      },
    ],
  ])('%s is not run', async (_, path) => {
    const outcome = await run(await path());
    expect(outcome.exitCode).not.toBe(0);
    expect(outcome.output).not.toContain('ran\n');
    expect(hookFailure(outcome)).toBeDefined();
  });

  it('has no input', async () => {
    expect(await run(await script('reads', 'cat; echo done'))).toMatchObject({ exitCode: 0, output: 'done' });
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !new RegExp(`^${pid} \\(.*\\) Z`).test(readFileSyncOrEmpty(pid));
  } catch {
    // No such process.
    return false;
  }
}

function readFileSyncOrEmpty(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    // It has just ended.
    return `${pid} () Z`;
  }
}

describe('a directory of hooks', () => {
  it('is read by name; leftovers, directories and what is not executable are passed over', async () => {
    for (const name of ['20-b', '10-a', 'README', 'x~', '.hidden', 'y.dpkg-old', 'z.bak']) await script(name, '');
    await script('off', '', 0o644);
    await mkdir(join(directory, 'web1'));
    expect((await hooksIn(directory)).map(({ argv }) => argv)).toEqual([
      [join(directory, '10-a')],
      [join(directory, '20-b')],
    ]);
    expect(await hooksIn(join(directory, 'none'))).toEqual([]);
  });
});

describe('a hook that does nothing', () => {
  it('is found without being started: no x bit, no program, a link that leads nowhere', async () => {
    const off = await script('off', '', 0o644);
    const dead = join(directory, 'dead');
    await symlink('/nonexistent', dead);
    await script('off2.off', '', 0o644);
    const good = await script('good', '');
    const found = await findingsIn([directory, join(directory, 'none')]);
    expect(found.map(({ what, isPassedOver }) => [what, isPassedOver])).toEqual([
      [`the hook ${dead} is passed over`, true],
      [`the hook ${off} is passed over`, true],
    ]);
    const named = await findingsOfNamed(
      [good, '/nonexistent', directory, off].map((path) => hookOf([path])),
      'the file',
    );
    expect(named.map(({ what, fix }) => `${what}; ${fix}`)).toEqual(
      ['/nonexistent', directory, off].map((path) => `the hook ${path} cannot be run; correct the file`),
    );
  });
});

describe('what only a shell understands', () => {
  it.each([
    ['/usr/bin/mysqldump --all-databases > /srv/all.sql', '>'],
    ['/bin/a>/srv/b', '>'],
    ['/bin/a 2>&1', '>&'],
    ['/bin/a | /bin/b', '|'],
    ['/bin/a && /bin/b', '&&'],
    ['/bin/a &', '&'],
    ['/bin/a; /bin/b', ';'],
    ['/bin/a < /srv/in', '<'],
    ['/bin/a $(date)', '$(date)'],
    ['/bin/a "$(date)"', '$(date)"'],
    ['/bin/a `date`', '`date`'],
    ['/bin/a $HOME/x', '$HOME/x'],
    ['/bin/a "$HOME/x"', '$HOME/x"'],
    ['/bin/a /srv/*.sql', '*.sql'],
    ['/bin/a ~/x', '~/x'],
    ['/bin/a {b,c}', '{b,c}'],
    ['/bin/a # why', '#'],
    ['PGUSER=x /bin/a', 'PGUSER=x'],
  ])('%j', (line, word) => expect(shellWord(line)).toBe(word));

  it.each([
    '/bin/dump --all  /srv/db',
    `/bin/sh -c '/bin/a $HOME/*.sql > /srv/b && c; d'`,
    '/bin/sh -c "/bin/a $(date) > /srv/b"',
    '/bin/bash -ec "a | b"',
    '/bin/a --exclude="*.o" \\*.o a~b a#b $ 5$ --since=now {}',
    '/usr/bin/curl "https://example.net/?a=1&b=2"',
  ])('is not in %j', (line) => expect(shellWord(line)).toBeUndefined());
});

describe('a command line', () => {
  it.each([
    ['/bin/dump --all  /srv/db', ['/bin/dump', '--all', '/srv/db']],
    [`/bin/x "a b" 'c "d' e\\ f ""`, ['/bin/x', 'a b', 'c "d', 'e f', '']],
    ['/bin/x $HOME *; id', ['/bin/x', '$HOME', '*;', 'id']],
    ['/bin/x "open', undefined],
    ['', []],
  ])('%j', (line, words) => {
    expect(splitWords(line)).toEqual(words);
  });
});
