import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { type ExitName, exitCodes, exitMeanings } from '../../src/errors.ts';
import { run } from '../../src/system/run.ts';
import { bin, byteback, temporaryDirectory } from './byteback.ts';

describe('what cannot be understood ends with 2 and says where help is', () => {
  test.concurrent.each(commands)('byteback $id --nonsense', async ({ id }) => {
    const { stdout, stderr, exitCode } = await byteback(['byteback', ...id.split(' '), '--nonsense']);
    expect({ stdout, exitCode }).toEqual({ stdout: '', exitCode: 2 });
    expect(stderr).toBe(`byteback ${id}: unknown option --nonsense\n  fix: byteback ${id} --help\n`);
  });

  test.each([
    [
      ['byteback', 'stauts'],
      'byteback: no command "stauts"\n  why: did you mean: byteback status\n  fix: byteback --help\n',
    ],
    [['byteback', '--nonsense'], 'byteback: unknown option --nonsense\n  fix: byteback --help\n'],
    [['byteback', '\u001b[2J'], 'byteback: no command "\\u001b[2J"\n  fix: byteback --help\n'],
    [
      ['byteback', 'status', '--jsno'],
      'byteback status: unknown option --jsno\n  why: did you mean --json?\n  fix: byteback status --help\n',
    ],
    [['byteback', 'status', 'web1'], 'byteback status: unexpected argument: web1\n  fix: byteback status --help\n'],
    [['byteback-setup-client'], 'byteback-setup-client: missing: --destination\n  fix: byteback-setup-client --help\n'],
    [
      ['byteback-setup-client', '--destination'],
      'byteback-setup-client: --destination needs a value\n  fix: byteback-setup-client --help\n',
    ],
    [
      ['byteback-setup-client', '--destination', 'b@h:', '--port', '99999'],
      'byteback-setup-client: --port 99999 is not allowed\n  why: it must be a whole number less than or equal to 65535\n  fix: byteback-setup-client --help\n',
    ],
    [
      ['byteback-setup-client', '--destination', 'b@h:', '--cron', '--no-timer'],
      'byteback-setup-client: --cron and --no-timer cannot be given together\n  fix: byteback-setup-client --help\n',
    ],
  ])('%j', async (words, stderr) => {
    expect(await byteback(words)).toEqual({ stdout: '', stderr, exitCode: 2 });
  });
});

test('a reader that has seen enough is no error', async () => {
  // `true` is gone long before byteback writes anything.
  for (const words of ['byteback --help', 'byteback status --help', 'byteback status --json']) {
    const { stderr } = await run(['sh', '-c', `${bin}/${words} | true`], { timeoutMs: 15_000 });
    expect(stderr).toBe('');
  }
});

test('docs/json.md has the table of exit codes', async () => {
  const page = await readFile(join(import.meta.dirname, '../../docs/json.md'), 'utf8');
  for (const [name, code] of Object.entries(exitCodes)) {
    if (name !== 'ok') expect(page).toContain(`| \`${name}\` | ${code} | ${exitMeanings[name as ExitName]}`);
  }
});

describe('a bad configuration', () => {
  test('is said with file, line and key', async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, 'client.toml');
    await writeFile(file, '# mine\ndestination = "byteback@vault:"\nretry_dely = "10m"\n');
    const env = { BYTEBACK_CONFIG_DIR: directory.path };
    expect(await byteback(['byteback', 'status'], env)).toEqual({
      stdout: '',
      stderr: `byteback status: ${file}:3: retry_dely: unknown key\n  fix: did you mean retry_delay?\n`,
      exitCode: 2,
    });
  });

  test('is one JSON object with --json, and nothing else', async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, 'client.toml');
    await writeFile(file, 'destination = "byteback@vault:"\nretry_delay = "soon"\n');
    const { stdout, stderr, exitCode } = await byteback(['byteback', 'status', '--json'], {
      BYTEBACK_CONFIG_DIR: directory.path,
    });
    expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 2 });
    expect(JSON.parse(stdout)).toEqual({
      ok: false,
      exit: 'usage',
      exitCode: 2,
      what: `${file}:2: retry_delay = "soon" is not allowed`,
      why: expect.stringContaining('a duration is a number and a unit'),
      fix: expect.stringContaining(`correct line 2 of ${file}`),
    });
  });

  test('even an unknown option is JSON with --json', async () => {
    const { stdout, exitCode } = await byteback(['byteback', 'status', '--json', '--nonsense']);
    expect(exitCode).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false, exit: 'usage', what: 'unknown option --nonsense' });
  });
});

describe('nothing that a caller leaves around makes byteback run it', () => {
  test.each([
    [
      'a plugin in $HOME',
      (home: string) => ({ HOME: home, XDG_DATA_HOME: home, BYTEBACK_DATA_DIR: home, NODE_ENV: 'development' }),
    ],
    ['a module in NODE_OPTIONS', (home: string) => ({ NODE_OPTIONS: `--import ${join(home, 'trap.mjs')}` })],
  ])('%s', async (_, environment) => {
    await using home = await temporaryDirectory();
    const sign = join(home.path, 'ran');
    await writeFile(
      join(home.path, 'trap.mjs'),
      `import { writeFileSync } from 'node:fs';\nwriteFileSync(${JSON.stringify(sign)}, '');\nexport const COMMANDS = {};\n`,
    );
    // A package that is its own linked plugin, as oclif's user plugins are written down.
    const oclif = {
      commands: { strategy: 'explicit', target: './trap.mjs', identifier: 'COMMANDS' },
      plugins: [{ type: 'link', name: 'trap', root: home.path }],
    };
    const trap = JSON.stringify({ name: 'trap', version: '1.0.0', type: 'module', oclif });
    await writeFile(join(home.path, 'package.json'), trap);
    await byteback(['byteback', 'status'], environment(home.path));
    await expect(access(sign)).rejects.toThrow('ENOENT');
  });
});
