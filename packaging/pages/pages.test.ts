import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { exitCodes } from '../../src/errors.ts';
import { must } from '../../test/helpers/command.ts';
import { type Command, readCommands } from './commands.ts';
import { bashCompletion, fishCompletions, zshCompletion } from './completions.ts';
import { fromMarkdown } from './configuration.ts';
import { escaped, pageOf, prose } from './roff.ts';
import { manPages } from './write.ts';

const root = join(import.meta.dirname, '../..');
let commands: Command[];
let pages: ReadonlyMap<string, string>;

beforeAll(async () => {
  commands = await readCommands();
  pages = await manPages(root, 1_700_000_000);
});

describe('the man pages', () => {
  it('say everything that a command takes, and what its exit codes mean', () => {
    for (const command of commands) {
      const page = pages.get(`${command.page}.1`) ?? '';
      for (const { name, description } of command.options) {
        expect(page, command.id).toContain(`\\fB${escaped(`--${name}`)}\\fR`);
        expect(description, `${command.id} --${name} is described`).not.toBe('');
      }
      for (const { name } of command.operands) expect(page, command.id).toContain(`\\fI${name}\\fR`);
      for (const code of Object.values(exitCodes)) expect(page).toContain(`.TP\n\\fB${code}\\fR\n`);
      for (const title of ['SYNOPSIS', 'DESCRIPTION', 'OPTIONS', '"EXIT STATUS"', 'FILES', 'ENVIRONMENT', '"SEE ALSO"'])
        expect(page, `${command.id}: ${title}`).toContain(`.SH ${title}\n`);
    }
  });

  it('have an example for every command', () => {
    const without = commands.filter(({ examples }) => examples.length === 0).map(({ id }) => id);
    expect(without).toEqual([]);
  });

  it('are named by the first one, every one of them', () => {
    for (const { page } of commands) expect(pages.get('byteback.1')).toContain(escaped(page));
  });

  it('are ASCII, and the same for the same sources', async () => {
    expect(await manPages(root, 1_700_000_000)).toEqual(pages);
    for (const [name, page] of pages) expect(page, name).toMatch(/^[\n -~]*$/);
  });

  it('tell every key of the configuration', () => {
    expect(pages.get('byteback-client.toml.5')).toContain('.TP\n\\fBretry_delay\\fR\ndefault: ');
    expect(pages.get('byteback-client.toml.5')).not.toContain('snapshots_per_day');
    expect(pages.get('byteback-server.toml.5')).toContain('.TP\n\\fBprune.keep_last\\fR\n');
  });
});

describe('roff', () => {
  it('takes no text for a command', () => {
    expect(prose('.so /etc/passwd')).toBe('\\&.so /etc/passwd');
    expect(pageOf([`a ${'word '.repeat(14)}and .so x\n`])).not.toMatch(/^\.so/m);
    expect(prose("a\\b it's - \u202e")).toBe('a\\eb it\\(aqs \\- \\[u202E]');
  });

  it('comes of Markdown with tables, code and lists', () => {
    expect(fromMarkdown('| key | default | |\n|---|---|---|\n| `a.b` | `"x\\|y"` | says *it* |\n')).toBe(
      '.TP\n\\fBa.b\\fR\ndefault: \\fB"x|y"\\fR\n.br\nsays *it*\n',
    );
    expect(fromMarkdown('```toml\na = 1\n\nb = 2\n```\n')).toContain('.nf\na = 1\n\\&\nb = 2\n.fi');
    expect(fromMarkdown('- one\n- two\n  more\n')).toBe('.IP \\(bu 2\none\n.IP \\(bu 2\ntwo more\n');
  });
});

describe('the completion of bash', () => {
  async function complete(...words: string[]): Promise<string[]> {
    const script = `${bashCompletion(commands)}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _byteback; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = await must(['bash', '-c', script, 'bash', ...words], { cwd: '/' });
    return stdout.split('\n').filter((word) => word !== '');
  }

  it('knows commands, topics, options, and what comes after an option', async () => {
    expect(await complete('byteback', 'ba')).toEqual(['backup']);
    expect(await complete('byteback', 'client', 'inv')).toEqual(['invite']);
    expect(await complete('byteback', 'client', 'invite', '--repl')).toEqual(['--replace']);
    expect(await complete('byteback-prune', '--order', '')).toEqual(['importance', 'age']);
    expect(await complete('/usr/bin/byteback', 'help', 'prun')).toEqual(['prune']);
    expect(await complete('byteback-restore', '/et')).toEqual(['/etc']);
    expect(await complete('byteback', 'setup-server', '--size', '/et')).toEqual([]);
  });

  it('offers every option of every command', async () => {
    for (const { id, options } of commands) {
      const offered = await complete('byteback', ...id.split(' '), '-');
      expect(offered, id).toEqual(expect.arrayContaining(options.map(({ name }) => `--${name}`)));
    }
  });
});

it('the completions of zsh and fish offer every option', () => {
  const zsh = zshCompletion(commands);
  const fish = fishCompletions(commands);
  for (const { id, page, executable, options } of commands) {
    for (const { name } of options) {
      expect(zsh).toContain(`--${name}[`);
      expect(fish.get('byteback')).toMatch(new RegExp(`__byteback_is ${id}'.* -l ${name}(?: |$)`, 'm'));
      if (executable) expect(fish.get(page)).toMatch(new RegExp(` -l ${name}(?: |$)`, 'm'));
    }
  }
});
