import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { maxCommandBytes, parseCommand, type WireCommand } from './command.ts';
import { buildRsyncArgv, isRefusal, jailDirectory, type RsyncOptions } from './rsync-options.ts';

const run = '0123456789abcdef0123456789abcdef';
const letters = '-lHogDtpAXre.iLsfxCIvu';
const push = `transfer ${run} --server ${letters} --timeout=600 --delete-excluded -@-1 --partial --numeric-ids . .`;
const pull = `restore 2026-11-20T030000Z --server --sender -lHogDtpAXRe.LsfxCIvu --timeout=60 --numeric-ids --files-from=- --from0 . .`;
const server = { timeoutSeconds: 600, confine: true };

/** What is refused, or fails the test. */
function refusalOf(text: string | undefined): string {
  const command = parseCommand(text);
  if (!isRefusal(command)) throw new Error(`not refused: ${JSON.stringify(text)}`);
  return command.refusal;
}

function accepted(text: string): WireCommand {
  const command = parseCommand(text);
  if (isRefusal(command)) throw new Error(`${command.refusal}: ${text}`);
  return command;
}

function argvOf(text: string): string[] {
  const command = accepted(text);
  if (command.verb === 'transfer') return buildRsyncArgv('push', command.rsync, server);
  if (command.verb === 'restore') return buildRsyncArgv('pull', command.rsync, server);
  throw new Error(`no rsync in ${text}`);
}

describe('the commands of byteback', () => {
  it.each(['ping', 'prepare', 'outcome', 'complete', 'snapshots', 'versions', 'register', 'redeem'])(
    '%s is one word',
    (verb) => {
      expect(accepted(verb)).toEqual({ verb });
      expect(refusalOf(`${verb} x`)).toContain('no further word');
      expect(refusalOf(`${verb} ${verb}`)).toContain('no further word');
    },
  );

  it('separate and replay name their run', () => {
    expect(accepted(`separate ${run}`)).toEqual({ verb: 'separate', run });
    expect(accepted(`replay ${run}`)).toEqual({ verb: 'replay', run });
    expect(refusalOf(`replay ${run} /`)).toContain('no word');
    expect(refusalOf('separate')).toContain('run id');
    expect(refusalOf(`separate ${run.toUpperCase()}`)).toContain('run id');
    expect(refusalOf(`separate ${run} .`)).toContain('no word');
  });

  it('a transfer and a restore name theirs', () => {
    expect(accepted(push)).toMatchObject({ verb: 'transfer', run });
    expect(accepted(pull)).toMatchObject({ verb: 'restore', snapshot: '2026-11-20T030000Z' });
  });

  it.each([
    undefined,
    '',
    ' ',
    ' ping',
    'ping ',
    'ping\n',
    'ping\tx',
    'Ping',
    'transfer',
    'constructor',
    '__proto__',
    `${push}  `,
    push.replace(' --server', '  --server'),
    `${push}\n`,
    push.replace('--server', '--server --server'),
    push.replace('--server', '--server --sender'),
    push.replace(run, ''),
    push.replace(run, `../${run}`),
    pull.replace(' --sender', ''),
    pull.replace('--server --sender', '--sender --server'),
    pull.replace('2026-11-20T030000Z', 'latest'),
    pull.replace('2026-11-20T030000Z', '2026-02-30T030000Z'),
    pull.replace('2026-11-20T030000Z', '..'),
    'é',
  ])('refuses %j', (text) => {
    refusalOf(text);
  });

  it('refuses what is too long before anything else', () => {
    expect(refusalOf('A'.repeat(maxCommandBytes + 1))).toContain('longer');
    expect(refusalOf(`ping${'A'.repeat(120_000)}`)).toContain('longer');
  });
});

describe('the options of a push', () => {
  it('are rebuilt, with what the server adds', () => {
    expect(argvOf(push)).toEqual([
      'rsync',
      '--server',
      '-lHogDtpAXre.iLsfxCIvu',
      '--numeric-ids',
      '-@-1',
      '--delete-excluded',
      '--partial',
      '--timeout=600',
      '--fake-super',
      `--confine-root=${jailDirectory}`,
      '.',
      '.',
    ]);
  });

  it('are those of the pass that writes in place', () => {
    const inPlace = `transfer ${run} --server -lHogDtpAXRe.LsfxCIvu --log-format=%i -B4096 --timeout=30 --force -@-1 --numeric-ids --info=STATS2 --inplace . .`;
    expect(argvOf(inPlace)).toEqual(
      expect.arrayContaining([
        '-lHogDtpAXRe.LsfxCIvu',
        '--inplace',
        '-B4096',
        '--force',
        '--info=STATS2',
        '--timeout=30',
      ]),
    );
  });

  it('are those of the admin, as far as they are harmless', () => {
    const more = `transfer ${run} --server -vlWHogDtpAXrce.iLsfxCIvu --compress-level=3 --log-format=%i --timeout=600 --bwlimit=1024 --compress-choice=zstd --delete-excluded -@-1 --partial --numeric-ids --info=STATS2 . .`;
    expect(argvOf(more)).toEqual(
      expect.arrayContaining(['--compress-choice=zstd', '--compress-level=3', '--bwlimit=1024']),
    );
  });

  it('delete what a list names and the client has no more, but only with a list', () => {
    const list = `transfer ${run} --server -lHogDtpAXRe.LsfxCIvu --log-format=%i --timeout=600 --force --delete-missing-args -@-1 --partial --numeric-ids . .`;
    expect(argvOf(list)).toContain('--delete-missing-args');
    refusalOf(list.replace('AXRe', 'AXre'));
    refusalOf(list.replace('AXRe', 'AXRre'));
    refusalOf(list.replace('AXRe', 'AXe'));
  });

  it('clamps the time without a byte, and adds one where none is asked for', () => {
    expect(argvOf(push.replace('=600', '=99999999'))).toContain('--timeout=600');
    expect(argvOf(push.replace(' --timeout=600', ''))).toContain('--timeout=600');
    expect(argvOf(push.replace('=600', '=5'))).toContain('--timeout=5');
    refusalOf(push.replace('=600', '=0'));
  });

  it('leaves --confine-root to a server whose rsync knows it', () => {
    const command = accepted(push);
    if (command.verb !== 'transfer') throw new Error('not a transfer');
    expect(buildRsyncArgv('push', command.rsync, { ...server, confine: false }).join(' ')).not.toContain('confine');
  });

  it.each([...'lHogDtpAX'])('must hold -%s', (letter) => {
    expect(refusalOf(push.replace(letters, letters.replace(letter, '')))).toContain(`-${letter} is missing`);
  });

  it.each(['--numeric-ids', '-@-1'])('must hold %s', (word) => {
    expect(refusalOf(push.replace(` ${word}`, ''))).toContain('missing');
  });

  it.each([
    ['a letter twice', letters, '-lHogDtpAXXre.iLsfxCIvu'],
    ['an ability twice', letters, `${letters}u`],
    ['an ability that is none', letters, `${letters}Z`],
    ['a long option twice', '--partial', '--partial --partial'],
    ['another modify window', '-@-1', '-@1'],
    ['a value with a slash', '--partial', '--log-format=/etc'],
    ['another destination', '. .', '. /'],
    ['another source', '. .', './ .'],
    ['a third path', '. .', '. . .'],
    ['only one path', ' . .', ' .'],
    ['options after the paths', '. .', '. . --partial'],
    ['an end of options', '. .', '-- . .'],
    ['two times to delete at', '--delete-excluded', '--delete-before --delete-after'],
    ['sparse and in place', `${letters} `, `-lHogDtpAXrSe.iLsfxCIvu --inplace `],
    ['a leading zero', '=600', '=0600'],
    ['an empty value', '=600', '='],
    ['a block size of one', '--partial', '-B1'],
    ['a long option cut short', '--partial', '--parti'],
  ])('may not hold %s', (_, from, to) => {
    refusalOf(push.replace(from, to));
  });
});

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

function checkArgv(direction: 'push' | 'pull', options: RsyncOptions): void {
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
  else if (command.verb === 'restore') checkArgv('pull', command.rsync);
}

const goodWords = [
  ...new Set(`${push} ${pull}`.split(' ')),
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
