import { describe, expect, it } from 'vitest';
import {
  accepted,
  argvOf,
  check,
  letters,
  pull,
  push,
  refusalOf,
  run,
  server,
} from '../../test/helpers/sample-commands.ts';
import { maxCommandBytes } from './command.ts';
import { buildRsyncArgv, jailDirectory } from './rsync-options.ts';

describe('the commands of byteback', () => {
  it.each([
    'ping',
    'prepare',
    'outcome',
    'complete',
    'snapshots',
    'versions',
    'find',
    'changes',
    'machine',
    'drill',
    'proof',
    'register',
    'redeem',
  ])('%s is one word', (verb) => {
    expect(accepted(verb)).toEqual({ verb });
    expect(refusalOf(`${verb} x`)).toContain('no further word');
    expect(refusalOf(`${verb} ${verb}`)).toContain('no further word');
  });

  it('list names its run, and whether all is listed or what standard input names', () => {
    expect(accepted(`list ${run} all`)).toEqual({ verb: 'list', run, scope: 'all' });
    expect(accepted(`list ${run} named`)).toEqual({ verb: 'list', run, scope: 'named' });
    expect(refusalOf('list')).toContain('run id');
    expect(refusalOf(`list ${run}`)).toContain('all or named');
    expect(refusalOf(`list ${run} /etc`)).toContain('all or named');
    expect(refusalOf(`list ${run} all .`)).toContain('no word');
  });

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

  it('a check is a push that writes nothing', () => {
    expect(argvOf(check)[2]).toMatch(/^-n/);
    expect(argvOf(check)).not.toContain('--sender');
    expect(refusalOf(check.replace('-nl', '-l'))).toContain('-n is missing');
    expect(refusalOf(check.replace('--server', `${run} --server`))).toContain('--server must follow');
    expect(refusalOf(push.replace('-lH', '-nlH'))).toContain('-n is not allowed');
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
