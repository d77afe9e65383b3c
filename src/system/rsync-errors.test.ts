import { describe, expect, it } from 'vitest';
import { diskTroubleOf, parseErrors, parseSystemError } from './rsync-errors.ts';
import { decodeRsyncName } from './rsync-output.ts';

describe('what rsync says on its standard error', () => {
  it.each<[string, string, string, string]>([
    [
      'rsync: [sender] send_files failed to open "/srv/a "q" b": Permission denied (13)',
      'sender',
      '/srv/a "q" b',
      'Permission denied (13)',
    ],
    [
      'rsync: [sender] opendir "/srv/d\\#012" failed: Permission denied (13)',
      'sender',
      '/srv/d\n',
      'Permission denied (13)',
    ],
    [
      'rsync: [sender] read errors mapping "/srv/x": Input/output error (5)',
      'sender',
      '/srv/x',
      'Input/output error (5)',
    ],
    [
      'rsync: [sender] readlink_stat("/srv/l") failed: Permission denied (13)',
      'sender',
      '/srv/l',
      'Permission denied (13)',
    ],
    [
      'rsync: [receiver] mkstemp "/data/srv/.x.Ab12cd" failed: File name too long (36)',
      'receiver',
      '/data/srv/x',
      'File name too long (36)',
    ],
    [
      'rsync: [receiver] rsync_xal_set: lsetxattr("srv/x","user.big") failed: Argument list too long (7)',
      'receiver',
      'srv/x',
      'Argument list too long (7)',
    ],
    [
      'rsync: [sender] get_acl: sys_acl_get_file(srv/x, ACL_TYPE_ACCESS): Permission denied (13)',
      'sender',
      'srv/x',
      'Permission denied (13)',
    ],
    ['file has vanished: "/srv/gone"', 'vanished', '/srv/gone', 'it vanished'],
    ['ERROR: srv/busy failed verification -- update discarded.', 'sender', 'srv/busy', 'it changed while it was sent'],
  ])('has complaints: %s', (line, side, name, why) => {
    expect(parseErrors(`${line}\n`).complaints).toMatchObject([{ side, name: Buffer.from(name), why }]);
  });

  it('says when the disk is full or fails, but only for the receiving side', () => {
    expect(parseErrors('rsync: [receiver] write failed on "/data/x": No space left on device (28)').diskFull).toBe(
      true,
    );
    expect(
      parseErrors('rsync: [generator] recv_generator: mkdir "/data/x" failed: Disk quota exceeded (122)').diskFull,
    ).toBe(true);
    expect(parseErrors('rsync: [sender] something "/x": No space left on device (28)').diskFull).toBe(false);
    expect(parseErrors('rsync: [sender] read errors mapping "/x": Input/output error (5)').diskFails).toBe(false);
  });

  it('takes an attribute that is too large for a fault of the file, not of the disk', () => {
    const line =
      'rsync: [receiver] rsync_xal_set: lsetxattr("/data/srv/x","user.big") failed: No space left on device (28)';
    const { complaints, diskFull } = parseErrors(line);
    expect(diskFull).toBe(false);
    expect(complaints).toMatchObject([{ side: 'receiver', name: Buffer.from('/data/srv/x'), lasting: true }]);
    expect(complaints[0]?.why).not.toContain('space');
    const quota = line.replace('No space left on device (28)', 'Disk quota exceeded (122)');
    expect(parseErrors(quota).diskFull).toBe(true);
  });

  it('names the cause, not the trailer', () => {
    const text =
      'client_loop: send disconnect: Broken pipe\n' +
      'rsync: [sender] write error: Broken pipe (32)\n' +
      'rsync error: error in socket IO (code 10) at io.c(848) [sender=3.5.0]\n';
    expect(parseErrors(text).cause).toBe('rsync: [sender] write error: Broken pipe (32)');
    expect(parseErrors('').cause).toBe('');
  });
});

/** Names that hold what rsync itself says, as it prints them in the C locale. */
const hostileNames = [
  'app (28).log',
  'No space left on device (28)',
  'x: No space left on device (28)',
  'x": No space left on device (28)',
  'a" failed: Disk quota exceeded (122)',
  'Input/output error (5)',
  'y: Read-only file system (30)',
  'failed verification -- update discarded.',
  'file has vanished: "z"',
  'rsync error: q (code 11)',
  'rsync: [receiver] write failed on "b": No space left on device (28)',
  'line\\#012rsync: [receiver] write failed on "b": No space left on device (28)',
  'IOERR',
  'WARNING: x',
  '","user.x',
  'setxattr("c","user.d") failed',
  '(5)',
  '(122)',
  ', ACL_TYPE_ACCESS): Input/output error (5)',
  '" -> "e',
  'is over max-size',
];

/** Lines as rsync was seen to print them, with the name in its place, and what they say of the disk and of the name. */
const captured: readonly {
  readonly line: (name: string) => string;
  readonly side?: 'sender' | 'receiver' | 'vanished';
  readonly trouble?: 'full' | 'quota' | 'fails' | 'readOnly';
}[] = [
  {
    line: (name) => `rsync: [sender] send_files failed to open "/srv/${name}": Permission denied (13)`,
    side: 'sender',
  },
  { line: (name) => `rsync: [sender] opendir "/srv/${name}" failed: Permission denied (13)`, side: 'sender' },
  { line: (name) => `rsync: [sender] readlink_stat("/srv/${name}") failed: Permission denied (13)`, side: 'sender' },
  { line: (name) => `rsync: [sender] read errors mapping "/srv/${name}": Input/output error (5)`, side: 'sender' },
  { line: (name) => `rsync: [sender] read errors mapping "/srv/${name}": No data available (61)`, side: 'sender' },
  { line: (name) => `file has vanished: "/srv/${name}"`, side: 'vanished' },
  { line: (name) => `ERROR: srv/${name} failed verification -- update discarded.`, side: 'sender' },
  { line: (name) => `WARNING: srv/${name} failed verification -- update discarded (will try again).` },
  { line: (name) => `filename overflows max-path len by 13: srv/${name}`, side: 'sender' },
  { line: (name) => `skipping overly long name: srv/${name}`, side: 'sender' },
  { line: (name) => `cannot delete non-empty directory: srv/${name}` },
  { line: (name) => `skipping non-regular file "srv/${name}"` },
  {
    line: (name) => `rsync: [receiver] write failed on "/data/srv/${name}": No space left on device (28)`,
    side: 'receiver',
    trouble: 'full',
  },
  {
    line: (name) => `rsync: [generator] recv_generator: mkdir "/data/srv/${name}" failed: Disk quota exceeded (122)`,
    side: 'receiver',
    trouble: 'quota',
  },
  {
    line: (name) => `rsync: [receiver] read errors mapping "/data/srv/${name}": Input/output error (5)`,
    side: 'receiver',
    trouble: 'fails',
  },
  {
    line: (name) => `rsync: [generator] failed to set times on "/data/srv/${name}": Read-only file system (30)`,
    side: 'receiver',
    trouble: 'readOnly',
  },
  {
    line: (name) =>
      `rsync: [receiver] rsync_xal_set: lsetxattr("/data/srv/${name}","user.big") failed: No space left on device (28)`,
    side: 'receiver',
  },
  {
    line: (name) =>
      `rsync: [receiver] rsync_xal_set: lsetxattr("/data/srv/${name}","user.b") failed: Argument list too long (7)`,
    side: 'receiver',
  },
  {
    line: (name) =>
      `rsync: [sender] get_xattr_data: lgetxattr("/srv/${name}","trusted.x",0) failed: Operation not permitted (1)`,
    side: 'sender',
  },
  {
    line: (name) => `rsync: [sender] get_acl: sys_acl_get_file(srv/${name}, ACL_TYPE_ACCESS): Permission denied (13)`,
    side: 'sender',
  },
];

describe('a line with a hostile name', () => {
  for (const { line, side, trouble } of captured) {
    it.each(hostileNames)(`${line('NAME')}: %s`, (name) => {
      const text = line(name);
      const error = parseSystemError(text);
      expect(error === undefined ? undefined : diskTroubleOf(error)).toBe(trouble);
      const { complaints, diskFull, diskFails } = parseErrors(`${text}\n`);
      expect({ diskFull, diskFails }).toEqual({
        diskFull: trouble === 'full' || trouble === 'quota',
        diskFails: trouble === 'fails' || trouble === 'readOnly',
      });
      if (side === undefined) {
        expect(complaints).toEqual([]);
        return;
      }
      expect(complaints).toHaveLength(1);
      expect(complaints[0]?.side).toBe(side);
      expect(complaints[0]?.name.toString('latin1')).toMatch(/srv\//);
      expect(complaints[0]?.name.toString('latin1').endsWith(`srv/${decodeRsyncName(name).toString('latin1')}`)).toBe(
        true,
      );
    });
  }
});
