import { describe, expect, it } from 'vitest';
import { decodeRsyncName, parseItem, parseProgress, parseStats } from './rsync-output.ts';

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
});
