import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { commands, topics } from '../../src/cli/commands.ts';
import { version } from '../../src/version.ts';
import { byteback } from './byteback.ts';

/** Each way to type a command, and how its help must name it. */
const forms = commands.flatMap(({ id, executable, summary }) => [
  { words: ['byteback', ...id.split(' ')], me: `byteback ${id}`, summary },
  ...(executable ? [{ words: [`byteback-${id}`], me: `byteback-${id}`, summary }] : []),
]);

describe('--help', () => {
  test.concurrent.each(forms)('$me', async ({ words, me, summary }) => {
    const long = await byteback([...words, '--help']);
    expect(long).toMatchObject({ exitCode: 0, stderr: '' });
    expect(long.stdout.split('\n')[0]).toBe(`${me}: ${summary}`);
    expect(long.stdout).toMatch(new RegExp(`^USAGE\n  ${me} `, 'm'));
    expect(long.stdout).toContain('--verbose');
    // Every example names the form that was typed, and nothing is left of a template.
    const examples = long.stdout.split('\nEXAMPLES\n')[1] ?? '';
    for (const line of examples.split('\n').filter((text) => text.startsWith('    byteback'))) {
      expect(line).toMatch(new RegExp(`^    ${me}(?: |$)`));
    }
    expect(long.stdout).not.toMatch(/<%|undefined|\[object/);
    for (const line of long.stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
  });

  test('-h and the word help are the same', async () => {
    const [long, ...others] = await Promise.all([
      byteback(['byteback', 'status', '--help']),
      byteback(['byteback', 'status', '-h']),
      byteback(['byteback', 'help', 'status']),
      byteback(['byteback', 'status', '--json', '--nonsense', '--help']),
    ]);
    for (const other of others) expect(other).toEqual(long);
  });

  test('every command is described', async () => {
    for (const { id, load } of commands) expect((await load()).description, id).toBeTruthy();
  });

  test('every executable is there', async () => {
    for (const { id, executable } of commands) {
      if (executable) await access(join(import.meta.dirname, '../../bin', `byteback-${id}`));
    }
  });

  test('all commands are on one screen', async () => {
    const { stdout, stderr, exitCode } = await byteback(['byteback', '--help']);
    expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 });
    expect(await byteback(['byteback'])).toMatchObject({ stdout, exitCode: 0 });
    const lines = stdout.split('\n');
    expect(lines.length).toBeLessThanOrEqual(25);
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(80);
    for (const { id, summary } of commands) {
      const [first = '', second] = id.split(' ');
      if (second === undefined) expect(stdout).toMatch(new RegExp(`^  ${id} +${summary}$`, 'm'));
      else expect(stdout).toMatch(new RegExp(`^  ${first} (?:.*\n)?.*\\b${second}\\b`, 'm'));
    }
  });

  test.each(Object.keys(topics))('byteback %s', async (topic) => {
    const { stdout, exitCode } = await byteback(['byteback', topic, '--help']);
    expect(exitCode).toBe(0);
    expect(await byteback(['byteback', topic])).toMatchObject({ stdout, exitCode: 0 });
    for (const { id } of commands.filter((entry) => entry.id.startsWith(`${topic} `))) {
      expect(stdout).toContain(`byteback ${id} `);
    }
  });
});

test.each([['byteback'], ...commands.filter(({ executable }) => executable).map(({ id }) => [`byteback-${id}`])])(
  '%s --version',
  async (program) => {
    expect(await byteback([program, '--version'])).toEqual({
      stdout: `byteback ${version}\n`,
      stderr: '',
      exitCode: 0,
    });
  },
);
