import { BytebackError } from '../../errors.ts';

/** The endings of rsync's messages (LC_ALL=C) that say that the disk, not a file, is at fault. */
const diskErrors: readonly { readonly pattern: RegExp; readonly why: string }[] = [
  { pattern: /: No space left on device \(28\)$/, why: 'no space was left on the device' },
  { pattern: /: Disk quota exceeded \(122\)$/, why: 'the quota of this client is used up' },
  { pattern: /: Input\/output error \(5\)$/, why: 'the disk could not be written or read: input/output error' },
];

/** What one line of the receiver's rsync says of the disk, or undefined. */
export function diskErrorIn(line: string): BytebackError | undefined {
  const why = diskErrors.find(({ pattern }) => pattern.test(line))?.why;
  if (why === undefined) return undefined;
  return new BytebackError('storeFull', {
    what: 'the store is full',
    why: `rsync on the server said that ${why}`,
    fix: 'on the server, look at: byteback status; then free some space: byteback-prune --free 10%',
  });
}
