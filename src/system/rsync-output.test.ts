import { describe, expect, it } from 'vitest';
import { decodeRsyncName, parseErrors, parseItem, parseProgress, parseStats } from './rsync-output.ts';

describe("rsync's output", () => {
  it('has names with octal escapes', () => {
    expect(decodeRsyncName('a\\#012b\\#303\\#251 \\x')).toEqual(Buffer.from('a\nbé \\x'));
    expect(decodeRsyncName('\\#777')).toEqual(Buffer.from('\\#777'));
  });

  it('has items', () => {
    expect(parseItem('=<f+++++++++ 12 34 srv/a b')).toEqual({
      kind: 'sent',
      sizeBytes: 12,
      wireBytes: 34,
      name: Buffer.from('srv/a b'),
      attributes: false,
      isNew: true,
    });
    expect(parseItem('=.f........x 12 0 srv/a')).toMatchObject({ kind: 'changed', attributes: true });
    // New, and to be looked at again, unless it is a file.
    expect(parseItem('=cd+++++++++ 4096 0 srv/')).toMatchObject({ kind: 'changed', attributes: true });
    expect(parseItem('=cS+++++++++ 0 0 srv/pipe')).toMatchObject({ kind: 'changed', attributes: true });
    expect(parseItem('=<f+++++++++ 12 34 srv/a')).toMatchObject({ kind: 'sent', attributes: false, isNew: true });
    expect(parseItem('=.d..t...... 4096 0 ./')).toMatchObject({ kind: 'changed', sizeBytes: 4096, attributes: false });
    expect(parseItem('=*deleting   0 0 etc/old')).toMatchObject({ kind: 'deleted', name: Buffer.from('etc/old') });
    expect(parseItem('sent 356 bytes')).toBeUndefined();
  });

  it('has progress', () => {
    expect(parseProgress('      1,234,567  12%  1.50MB/s    0:00:12 (xfr#5, to-chk=1/2)')).toEqual({
      bytes: 1_234_567,
      bytesPerSecond: 1_572_864,
    });
    expect(parseProgress('              0   0%    0.00kB/s    0:00:00')).toEqual({ bytes: 0, bytesPerSecond: 0 });
    expect(parseProgress('Number of files: 9')).toBeUndefined();
  });

  it('has statistics', () => {
    const text =
      'Number of deleted files: 1 (reg: 1)\nNumber of regular files transferred: 5,239\n' +
      'Total transferred file size: 4,000 bytes\nLiteral data: 1,000 bytes\nTotal bytes sent: 356\nTotal bytes received: 92\n';
    expect(parseStats(text)).toEqual({
      sentFiles: 5239,
      sentBytes: 4000,
      literalBytes: 1000,
      deletedFiles: 1,
      wireBytes: 448,
    });
    expect(parseStats('')).toEqual({ sentFiles: 0, sentBytes: 0, literalBytes: 0, deletedFiles: 0, wireBytes: 0 });
  });

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
      '/data/srv/.x.Ab12cd',
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
    expect(parseErrors(`${line}\n`).complaints).toEqual([{ side, name: Buffer.from(name), why }]);
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

  it('names the cause, not the trailer', () => {
    const text =
      'client_loop: send disconnect: Broken pipe\n' +
      'rsync: [sender] write error: Broken pipe (32)\n' +
      'rsync error: error in socket IO (code 10) at io.c(848) [sender=3.5.0]\n';
    expect(parseErrors(text).cause).toBe('rsync: [sender] write error: Broken pipe (32)');
    expect(parseErrors('').cause).toBe('');
  });
});
