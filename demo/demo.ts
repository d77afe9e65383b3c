/**
 * `npm run demo`: a server and a client are set up, a tree is backed up, changed, backed up again, and its old version
 * restored and compared. Runs inside a private machine; see the script `demo` beside it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, lstat, mkdir, readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { parseArgs } from 'node:util';
import { compareTrees } from '../test/helpers/compare-trees.ts';
import { answers, freePort } from '../test/helpers/loopback-port.ts';
import { run, say, title, type } from './stage.ts';

const usage = `npm run demo -- [--source DIR]... [--keep] [--yes]

  --source DIR   back this up instead of /etc and /usr/share/doc; repeatable
  --keep         open a shell on the private machine at the end, for a look
  --yes          install what is missing (on the private machine) without asking
`;

interface Options {
  readonly sources: readonly string[];
  readonly keep: boolean;
  readonly yes: boolean;
}

class UsageError extends Error {}

const parsed: typeof parseArgs = (config) => {
  try {
    return parseArgs(config);
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : error}\n\n${usage}`);
  }
};

async function parseOptions(): Promise<Options | undefined> {
  const { values } = parsed({
    options: {
      source: { type: 'string', multiple: true },
      keep: { type: 'boolean', default: false },
      yes: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      // Only look at the arguments: the script asks before it builds.
      check: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    return undefined;
  }
  const from = process.env['BYTEBACK_DEMO_FROM'] ?? process.env['INIT_CWD'] ?? process.cwd();
  const sources = (values.source ?? ['/etc', '/usr/share/doc']).map((source) => resolve(from, source));
  for (const source of sources) {
    const stats = await lstat(source).catch(() => undefined);
    if (stats?.isDirectory() !== true) throw new UsageError(`there is no directory ${source}`);
  }
  return values.check ? undefined : { sources, keep: values.keep, yes: values.yes };
}

async function isAgreed(question: string, options: Options): Promise<boolean> {
  if (options.yes || !process.stdin.isTTY) return true;
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await terminal.question(`${question} [Y/n] `);
  terminal.close();
  return /^(y|yes|)$/i.test(answer.trim());
}

async function startSshd(port: number): Promise<ChildProcess> {
  const argv = ['-D', '-e', '-p', String(port), '-o', 'ListenAddress=127.0.0.1'];
  say(`\n$ /usr/sbin/sshd ${argv.join(' ')} &`);
  const sshd = spawn('/usr/sbin/sshd', argv, { stdio: 'ignore' });
  for (let i = 0; i < 100; i++) {
    if (await answers(port)) return sshd;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`sshd does not answer on port ${port}`);
}

/** A small text file in a source, to be changed. */
async function fileToChange(sources: readonly string[]): Promise<string> {
  for (const source of sources) {
    for (const entry of await readdir(source, { withFileTypes: true, recursive: true })) {
      const path = join(entry.parentPath, entry.name);
      // Only plain names, so that the demo's own text stays readable.
      if (!entry.isFile() || !/^[\w./-]+$/.test(path)) continue;
      const stats = await lstat(path);
      if (stats.size > 0 && stats.size < 100_000 && stats.nlink === 1) return path;
    }
  }
  throw new Error(`no file to change in ${sources.join(' or ')}`);
}

async function compared(what: string, expected: string, actual: string): Promise<void> {
  const differences = await compareTrees(expected, actual);
  if (differences.length > 0) {
    throw new Error(`${what} differs:\n${differences.slice(0, 20).join('\n')}`);
  }
  say(`✓ ${what} is identical: contents, owners, modes, times, links, extended attributes and ACLs`);
}

async function show(options: Options): Promise<void> {
  title('1. Install byteback');
  if (
    !(await isAgreed(
      'The packages, and what they need from Debian, are installed on the private machine. Go on?',
      options,
    ))
  ) {
    throw new Error('nothing was installed');
  }
  say('\n$ apt install ./dist/*.deb');
  await run(['test/helpers/install-into-private-machine']);
  await type(['byteback', '--version']);

  title('2. The server: one command');
  await mkdir('/root', { recursive: true });
  await type(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'admin', '-f', '/root/admin']);
  await type([
    ...['byteback-setup-server', '--store', '/byteback', '--image', '/srv/byteback.img', '--size', '4G'],
    ...['--admin-key', '/root/admin.pub', '--yes'],
  ]);
  const port = await freePort();
  const sshd = await startSshd(port);

  try {
    title('3. The client: one command');
    await type([
      ...['byteback-setup-client', '--destination', 'byteback@127.0.0.1:', '--port', String(port)],
      ...['--identity', '/root/admin', '--hostname', 'demo', '--accept-new', '--no-timer'],
    ]);

    title('4. The first backup');
    const sources = options.sources.flatMap((source) => ['--source', source]);
    await type(['byteback-backup', '--verbose', ...sources]);

    title('5. Something changes, and is backed up again');
    const changed = await fileToChange(options.sources);
    await mkdir('/root/before');
    await copyFile(changed, '/root/before/file');
    await type(['sed', '-i', '1s/^/A new first line. /', changed]);
    await type(['byteback-backup', '--verbose', ...sources]);

    title('6. Its versions, and the old one back');
    const list = await type(['byteback-restore', '--all', changed]);
    const snapshots = [...new Set(list.match(/\d{4}-\d\d-\d\dT\d{6}Z/g))].toSorted();
    if (snapshots.length !== 2) throw new Error(`expected two versions of ${changed}, found ${snapshots.length}`);
    const [first = '', second = ''] = snapshots;
    await type(['byteback-restore', '--restore', '--snapshot', first, '--to', '/root/old', changed]);
    const old = await findFile('/root/old');
    if (!(await readFile(old)).equals(await readFile('/root/before/file'))) {
      throw new Error(`${old} is not what ${changed} was before`);
    }
    say(`✓ ${old} is ${changed} as it was before the change`);

    title('7. Everything back, and compared');
    await type(['byteback-restore', '--restore', '--snapshot', second, '--all-files', '--to', '/root/all']);
    for (const source of options.sources) await compared(source, source, join('/root/all', source));
    await type(['ls', `/byteback/clients/demo/snapshots/${first}/fs`]);
    await type(['byteback', 'status']);

    if (options.keep) await openShell();
  } finally {
    sshd.kill();
  }
}

/** The one file below a directory. */
async function findFile(directory: string): Promise<string> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true });
  const files = entries.filter((entry) => entry.isFile());
  const [file] = files;
  if (file === undefined || files.length > 1) throw new Error(`${files.length} files in ${directory}, not one`);
  return join(file.parentPath, file.name);
}

async function openShell(): Promise<void> {
  title('A shell on the private machine; `exit` ends it, and the machine with it.');
  say('The store is /byteback, its server and its client are this machine.');
  const shell = spawn(process.env['SHELL'] ?? '/bin/sh', ['-i'], { stdio: 'inherit' });
  await once(shell, 'close');
}

try {
  const options = await parseOptions();
  if (options !== undefined) {
    await show(options);
    title('Done. This machine is as it was.');
    say('Next, for a real server:   apt install ./dist/*.deb && byteback-setup-server --device /dev/DISK');
    say('      for a real client:   apt install ./dist/*.deb && byteback-setup-client --destination byteback@SERVER:');
    say('      and to read:         README.md');
  }
} catch (error) {
  console.error(`\ndemo: ${error instanceof Error ? error.message : error}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
