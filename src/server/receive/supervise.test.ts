import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { start } from '../../system/run.ts';
import { diskErrorIn } from './disk-errors.ts';
import { printable, readErrorLines } from './error-lines.ts';
import { isProgress, parseIo, parseTicks, WorkMeter, withDescendants } from './progress.ts';
import { supervise } from './supervise.ts';

describe('progress', () => {
  const before = { readBytes: 100, writtenBytes: 100, ticks: 10 };
  it('is a byte that came, much that went, or work', () => {
    expect(isProgress(before, { ...before, readBytes: 101 })).toBe(true);
    expect(isProgress(before, { ...before, writtenBytes: 100 + 16_384 })).toBe(true);
    expect(isProgress(before, { ...before, ticks: 30 })).toBe(true);
  });

  it('is not what keeps a dead connection alive', () => {
    expect(isProgress(before, before)).toBe(false);
    expect(isProgress(before, { readBytes: 100, writtenBytes: 400, ticks: 12 })).toBe(false);
  });

  it('is read from the kernel', async () => {
    expect(parseIo('rchar: 323934931\nwchar: 323929600\nsyscr: 632687\n')).toEqual({
      readBytes: 323_934_931,
      writtenBytes: 323_929_600,
    });
    expect(parseTicks('12 (a) b) S 1 2 3 4 5 6 7 8 9 10 70 5 0 0 20')).toBe(75);
    expect(await withDescendants(process.pid)).toContain(process.pid);
    const meter = new WorkMeter(process.pid);
    const first = await meter.read();
    const second = await meter.read();
    expect(second.readBytes).toBeGreaterThan(first.readBytes);
  });
});

describe('what the disk says', () => {
  it.each([
    'rsync: [receiver] write failed on "/data/big": No space left on device (28)',
    'rsync: [receiver] mkstemp "/data/.x" failed: Disk quota exceeded (122)',
    'rsync: [receiver] write failed on "/data/x": Input/output error (5)',
  ])('%s', (line) => {
    expect(diskErrorIn(line)).toMatchObject({ exit: 'storeFull' });
  });

  it.each([
    'rsync: [receiver] open "/data/No space left on device (28)" failed: Permission denied (13)',
    'rsync: [sender] read errors mapping "/x": Input/output error',
    '',
  ])('nothing in %j', (line) => {
    expect(diskErrorIn(line)).toBeUndefined();
  });
});

describe('messages from the jail', () => {
  const read = async (...chunks: Buffer[]) => {
    const lines: string[] = [];
    await readErrorLines(Readable.from(chunks), (line) => lines.push(line));
    return lines;
  };

  it('come line by line, whatever the chunks', async () => {
    expect(await read(Buffer.from('one\ntw'), Buffer.from('o\nthree'))).toEqual(['one', 'two', 'three']);
  });

  it('cannot steer a terminal', async () => {
    expect(await read(Buffer.from('a\x1b[31mb\x9b31m\rc\x7f\n', 'latin1'))).toEqual(['a?[31mb?31m?c?']);
    expect(printable('tab\tstays')).toBe('tab\tstays');
  });

  it('are cut when they have no end', async () => {
    const lines = await read(...Array.from({ length: 40 }, () => Buffer.alloc(65_536, 'x')));
    expect(lines.every((line) => line.length <= 4096)).toBe(true);
    expect(lines.join('').length).toBeLessThanOrEqual(1024 * 1024);
  });
});

describe('supervising', () => {
  const say = () => undefined;
  it('passes on how a program ended', async () => {
    const program = start(['sh', '-c', 'exit 7'], { stderr: 'pipe' });
    expect(await supervise(program, { idleTimeoutMs: 60_000 }, say)).toEqual({ exitCode: 7, failure: undefined });
  });

  it('ends what makes no progress', async () => {
    const program = start(['sleep', '60'], { stderr: 'pipe' });
    const { exitCode, failure } = await supervise(program, { idleTimeoutMs: 400 }, say);
    expect(exitCode).toBe(137);
    expect(failure).toMatchObject({ exit: 'unreachable', explanation: { what: 'the server ended the session' } });
  });

  it('does not end what works, however long', async () => {
    const program = start(['timeout', '2', 'dd', 'if=/dev/zero', 'of=/dev/null', 'bs=64k'], { stderr: 'pipe' });
    expect(await supervise(program, { idleTimeoutMs: 500 }, say)).toEqual({ exitCode: 124, failure: undefined });
  });

  it('lets a session that only reads go on past a file that the disk does not give', async () => {
    const said = 'echo "rsync: [sender] read errors mapping \\"/data/x\\": Input/output error (5)" >&2; exit 23';
    const reading = start(['sh', '-c', said], { stderr: 'pipe' });
    expect(await supervise(reading, { idleTimeoutMs: 60_000 }, say)).toEqual({ exitCode: 23, failure: undefined });
  });

  it('knows a full disk and a jail that cannot be built by their messages', async () => {
    const full = start(
      ['sh', '-c', 'echo "rsync: [receiver] write failed on \\"/data/x\\": No space left on device (28)" >&2; exit 23'],
      { stderr: 'pipe' },
    );
    expect(await supervise(full, { idleTimeoutMs: 60_000, watchSpaceAt: '/' }, say)).toMatchObject({
      exitCode: 23,
      failure: { exit: 'storeFull' },
    });
    const noJail = start(['sh', '-c', 'echo "bwrap: setting up uid map: Permission denied" >&2; exit 1'], {
      stderr: 'pipe',
    });
    expect(await supervise(noJail, { idleTimeoutMs: 60_000 }, say)).toMatchObject({
      exitCode: 1,
      failure: { exit: 'refused' },
    });
  });
});
