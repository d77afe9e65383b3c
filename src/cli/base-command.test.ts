import { Config } from '@oclif/core/config';
import { expect, test } from 'vitest';
import { Args, BaseCommand, durationMs, Flags, repeated, sizeBytes } from './base-command.ts';

class Sample extends BaseCommand {
  static override args = { path: Args.string({ required: false, description: 'a path' }) };
  static override enableJsonFlag = true;
  static override flags = {
    given: Flags.boolean({ description: 'a switch' }),
    missing: Flags.boolean({ description: 'another' }),
    delay: durationMs({ description: 'a duration' }),
    size: sizeBytes({ description: 'a size' }),
    source: repeated({ helpValue: 'PATH', description: 'a path' }),
  };
  result: unknown;

  async run() {
    const { flags, args } = await this.parse(Sample);
    this.result = { flags, args };
    return undefined;
  }
}

const config = await Config.load({
  root: import.meta.dirname,
  pjson: { name: 'byteback', version: '0.0.0', oclif: { bin: 'byteback' } },
  userPlugins: false,
  devPlugins: false,
  ignoreManifest: true,
});

async function parse(...argv: string[]) {
  const command = new Sample(argv, config, { program: 'sample', signal: new AbortController().signal });
  await command.execute();
  return command.result;
}

test('flags come out as their types say', async () => {
  const flags = { given: true, missing: false, verbose: false, debug: false };
  expect(await parse('--given')).toMatchObject({ flags, args: {} });
  expect(
    await parse('--given', '--delay', '1h 30m', '--size', '4G', '--source', '/a', '--source', '/b', 'c'),
  ).toMatchObject({
    flags: { ...flags, delay: 5_400_000, size: 4 * 1024 ** 3, source: ['/a', '/b'] },
    args: { path: 'c' },
  });
});

test('a value that cannot be understood names its option', async () => {
  await expect(parse('--delay', 'soon')).rejects.toMatchObject({
    exit: 'usage',
    explanation: { what: '--delay "soon" is not allowed', why: expect.stringContaining('a number and a unit') },
  });
  await expect(parse('--size', '4X')).rejects.toMatchObject({ explanation: { what: '--size "4X" is not allowed' } });
});

test('what follows -- is never an option', async () => {
  expect(await parse('--', '--json')).toMatchObject({ args: { path: '--json' } });
  const command = new Sample(['--', '--json'], config, { program: 'sample', signal: new AbortController().signal });
  expect(command.jsonEnabled()).toBe(false);
});
