import { describe, expect, it } from 'vitest';
import { whatIsWrong } from '../prove.ts';
import { parseFakeStat, parseGetfattr } from './fake-stat.ts';
import { isPlainRelative } from './separate.ts';
import { decimalSeconds } from './versions.ts';

describe("rsync's record of a file", () => {
  it('is read', () => {
    expect(parseFakeStat('100644 0,0 1000:65534')).toEqual({ mode: 0o100644, uid: 1000, gid: 65_534 });
    expect(parseFakeStat('20644 1,3 0:0')).toEqual({ mode: 0o020644, uid: 0, gid: 0 });
  });

  it.each([
    '',
    '0 0,0 0:0',
    '100644',
    '100648 0,0 0:0',
    '100644 0,0 -1:0',
    '100644 0,0 99999999999:0',
    '100644 0,0 0:0\n',
    ' 100644 0,0 0:0',
  ])('is corrupt: %j', (text) => {
    expect(parseFakeStat(text)).toBeUndefined();
  });

  it("comes out of getfattr's listing, whatever the names", () => {
    const hex = Buffer.from('100644 0,0 0:0').toString('hex');
    const listing = `# file: a b\nuser.rsync.%stat=0x${hex}\n\n# file: new\\012line\\134\nuser.rsync.%stat=0x${hex}\n\n# file: empty\nuser.rsync.%stat\n\n# file: e2\nuser.rsync.%stat=0x\n\n`;
    const values = parseGetfattr(listing);
    expect(values.get('a b')).toBe('100644 0,0 0:0');
    expect(values.get('new\nline\\')).toBe('100644 0,0 0:0');
    expect(values.get('e2')).toBe('');
    expect(values.get('empty')).toBe('');
  });
});

describe('paths', () => {
  it.each(['a', 'a/b', '-a', 'a\nb', '...', '.a/..b'])('%j goes downwards', (path) => {
    expect(isPlainRelative(Buffer.from(path))).toBe(true);
  });
  it.each(['', '/', '/a', 'a/', 'a//b', '.', './a', '..', 'a/../b', 'x'.repeat(5000)])('%j is refused', (path) => {
    expect(isPlainRelative(Buffer.from(path))).toBe(false);
  });
});

describe('times', () => {
  it('keep their nanoseconds, before 1970 too', () => {
    expect(decimalSeconds(1_763_600_000_123_456_789n)).toBe('1763600000.123456789');
    expect(decimalSeconds(5n)).toBe('0.000000005');
    expect(decimalSeconds(-500_000_000n)).toBe('-1.500000000');
  });
});

describe('a proof', () => {
  const good = {
    visible: [],
    seccomp: 2,
    noNewPrivileges: true,
    capabilities: '0000000000000000',
    interfaces: [],
    processes: 2,
    symlinkRefused: true,
    wroteDirectory: false,
    wroteRoot: false,
  };
  it('holds only when everything does', () => {
    expect(whatIsWrong(good, 'read')).toEqual([]);
    expect(whatIsWrong({ ...good, wroteDirectory: true }, 'write')).toEqual([]);
  });
  it.each([
    { visible: ['/etc'] },
    { seccomp: 0 },
    { noNewPrivileges: false },
    { capabilities: '0000000000200000' },
    { interfaces: ['eth0'] },
    { processes: 80 },
    { symlinkRefused: false },
    { wroteDirectory: true },
    { wroteRoot: true },
  ])('fails with %j', (change) => {
    expect(whatIsWrong({ ...good, ...change }, 'read')).toHaveLength(1);
  });
});
