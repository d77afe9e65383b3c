import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { argvOf, check, pull, push, refusalOf, run, server } from '../../test/helpers/sample-commands.ts';
import { parseCommand } from './command.ts';
import { buildRsyncArgv, type Direction, isRefusal, type RsyncOptions } from './rsync-options.ts';

/** Every option that the table of attacks tries, put into a command that is good otherwise. */
const smuggled = [
  '--log-file=../.ssh/rc',
  '--temp-dir=/byteback',
  '-T',
  '--partial-dir=/byteback',
  '--backup',
  '--backup-dir=/x',
  '--suffix=/../x',
  '--include-from=/etc/passwd',
  '--filter=merge,-_/etc/passwd',
  '--write-batch=/x',
  '--read-batch=/x',
  '--copy-links',
  '--keep-dirlinks',
  '-K',
  '-L',
  '--confine-root=/',
  '--write-devices',
  '--copy-devices',
  '--super',
  '--remove-source-files',
  '--remove-sent-files',
  '--copy-as=root',
  '--chmod=u+s',
  '--iconv=utf8,latin1',
  '--max-alloc=0',
  '--max-alloc=100G',
  '--munge-links',
  '--delete-missing-args',
  '--password-file=/etc/passwd',
  '--sockopts=SO_DEBUG',
  '--address=127.0.0.1',
  '--stop-at=2026-01-01T00:00',
  '--stop-after=1',
  '--block-size=1',
  '--trust-sender',
  '--daemon',
  '--config=/x',
  '--rsync-path=/bin/sh',
  '--protocol=20',
  '--bwlimit=0',
  '--modify-window=99999999999999999999',
  '--skip-compress=/',
  '--outbuf=L',
  '--drop-D',
  '--copy-unsafe-links',
  '--insecure-links',
  '--old-args',
  '-s',
  '--secluded-args',
  '-M--x',
  '-e',
  '-e/bin/sh',
  '--rsh=/bin/sh',
  '--files-from=/etc/passwd',
  '--exclude-from=/x',
  '--compare-dest=/x',
  '--copy-dest=/x',
  '--link-dest=/x',
  '--fake-super',
  '--no-fake-super',
  '--version',
  '--help',
  '--sender',
  '--early-input=/x',
  '--debug=ALL',
  '--usermap=*:0',
  '--chown=0:0',
  '--mkpath',
  '--fsync',
  '--append',
  '--msgs2stderr',
  '--list-only',
];

describe('options that would do harm', () => {
  it.each(smuggled)('%s is refused in a push and in a restore', (word) => {
    refusalOf(push.replace(' --partial', ` ${word}`));
    refusalOf(pull.replace(' --from0', ` --from0 ${word}`));
  });
});

describe('the table of attacks', () => {
  const rows = readFileSync(new URL('../../test/fixtures/attacks.tsv', import.meta.url), 'utf8')
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .flatMap(([id = '', , how = '']) => (/^SSH_ORIGINAL_COMMAND: /.test(how) ? [{ id, attack: how.slice(22) }] : []));

  it('is there', () => {
    expect(rows.length).toBeGreaterThan(90);
  });

  it.each(rows)('$id: $attack', ({ attack }) => {
    const text = attack
      .replaceAll('{HOME}', '/byteback')
      .replaceAll('{ME}', '/byteback/clients/web1')
      .replaceAll('{OTHER}', 'web2')
      .replaceAll('{SNAP}', '2026-11-20T030000Z')
      .replaceAll('{LATEST}', '2026-11-20T030000Z')
      .replaceAll('{NL}', '\n')
      .replaceAll('{TAB}', '\t')
      .replace('{A x 120000}', 'A'.repeat(120_000));
    refusalOf(text);
  });

  it.each(rows.filter(({ attack }) => attack.startsWith('rsync --server')))(
    '$id in the words of byteback',
    ({ attack }) => {
      const rest = attack
        .replaceAll(/\{\w+\}/g, '/byteback')
        .replace(/^rsync /, '')
        .replace('-logDtpre', '-lHogDtpAXre');
      // The numbers are harmless in themselves; what makes these rows attacks must go or be clamped.
      const text = `transfer ${run} ${rest.replace(' . .', ' -@-1 --numeric-ids . .')}`;
      const command = parseCommand(text);
      if (!isRefusal(command)) {
        expect(command.verb).toBe('transfer');
        expect(argvOf(text).at(-1)).toBe('.');
        expect(argvOf(text)).toContain('--timeout=600');
        expect(text).toContain('--timeout=99999999');
      }
    },
  );
});

/** Every word that a rebuilt argv may be made of. */
const allowedWord =
  /^(?:rsync|--server|--sender|-[lHogDtpAXnbrdRWcISxzv]+e\.[iLsfxCIvu]*|--fake-super|--confine-root=\/data|\.|-@-1|-B\d+|--(?:timeout|bwlimit|compress-level)=\d+|--compress-choice=(?:zstd|lz4|zlibx|zlib|none)|--(?:new|old)-compress|--checksum-choice=(?:xxh128|xxh3|xxh64|md5|sha1|auto)|--info=[A-Z0-4,]+|--numeric-ids|--inplace|--no-r|--delete(?:-before|-during|-delay|-after|-excluded|-missing-args)?|--force|--partial|--stats|--log-format=(?:X|%i|%i%I|%o)|--files-from=-|--from0|--no-relative|--no-implied-dirs|--suffix=\.before-[0-9T-]+Z)$/;

function checkArgv(direction: Direction, options: RsyncOptions): void {
  const argv = buildRsyncArgv(direction, options, server);
  expect(argv.filter((word) => !allowedWord.test(word))).toEqual([]);
  expect(argv.slice(-2)).toEqual(['.', '.']);
  expect(argv.filter((word) => word === '.').length).toBe(2);
  expect(argv).toContain('--fake-super');
  expect(new Set(argv.slice(0, -2)).size).toBe(argv.length - 2);
  if (argv.includes('--delete-missing-args')) expect(argv[2]).toMatch(/^-[^er]*R[^er]*e\./);
  expect(argv.includes('--sender')).toBe(direction === 'pull');
  const seconds = Number(/^--timeout=(\d+)$/.exec(argv.find((word) => word.startsWith('--timeout=')) ?? '')?.[1]);
  expect(seconds).toBeGreaterThan(0);
  expect(seconds).toBeLessThanOrEqual(server.timeoutSeconds);
}

function checkCommand(text: string): void {
  const command = parseCommand(text);
  if (isRefusal(command)) {
    expect(command.refusal).toMatch(/^[\x20-\x7e]+$/);
    return;
  }
  if (command.verb === 'transfer') checkArgv('push', command.rsync);
  else if (command.verb === 'check') {
    checkArgv('check', command.rsync);
    expect(buildRsyncArgv('check', command.rsync, server)[2]).toMatch(/^-n/);
  } else if (command.verb === 'restore') checkArgv('pull', command.rsync);
}

const goodWords = [
  ...new Set(`${push} ${check} ${pull}`.split(' ')),
  '--inplace',
  '-B4096',
  '--info=STATS2',
  '--log-format=%i',
  '--bwlimit=5',
];
const someWord = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...goodWords) },
  { weight: 3, arbitrary: fc.constantFrom(...smuggled, '..', '/', '/etc', '-', '--', '=', '~', 'rsync') },
  { weight: 1, arbitrary: fc.stringMatching(/^[A-Za-z0-9.,_=%@:+/-]{1,12}$/) },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constantFrom(...goodWords), fc.string({ maxLength: 3 })).map(([word, more]) => word + more),
  },
);
/** A good command with some words changed, added, removed or moved. */
const mutated = fc
  .tuple(
    fc.constantFrom(push, pull),
    fc.array(
      fc.tuple(fc.nat(20), fc.constantFrom('replace', 'insert', 'remove', 'swap', 'character'), someWord, fc.nat(40)),
      {
        minLength: 1,
        maxLength: 4,
      },
    ),
  )
  .map(([text, changes]) => {
    let words = text.split(' ');
    for (const [place, how, word, at] of changes) {
      const index = place % words.length;
      const old = words[index] ?? '';
      if (how === 'replace') words[index] = word;
      else if (how === 'insert') words.splice(index, 0, word);
      else if (how === 'remove') words.splice(index, 1);
      else if (how === 'swap') words = [...words.slice(index), ...words.slice(0, index)];
      else
        words[index] = old.slice(0, at % (old.length + 1)) + word.slice(0, 1) + old.slice((at % (old.length + 1)) + 1);
    }
    return words.join(' ');
  });

describe('fuzzing', () => {
  it('100,000 commands are refused, or rebuilt into an argv of known options with the destination . and no other path', {
    timeout: 120_000,
  }, () => {
    fc.assert(fc.property(mutated, checkCommand), { numRuns: 60_000 });
    fc.assert(
      fc.property(
        fc.tuple(
          fc.constantFrom('', `transfer ${run} --server `, 'restore 2026-11-20T030000Z --server --sender '),
          fc.array(someWord, { maxLength: 12 }),
        ),
        ([start, words]) => checkCommand(start + words.join(' ')),
      ),
      { numRuns: 30_000 },
    );
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), checkCommand), { numRuns: 20_000 });
  });

  it('reaches commands that are accepted', () => {
    const some = fc.sample(mutated, 3000).map((text) => parseCommand(text));
    expect(some.filter((command) => !isRefusal(command)).length).toBeGreaterThan(30);
  });
});
