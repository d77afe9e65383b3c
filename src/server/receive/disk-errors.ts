import { BytebackError } from '../../errors.ts';

const full = {
  what: 'the store is full',
  fix: 'on the server, look at: byteback status; then free some space: byteback-prune --free 10%',
};

/** The endings of rsync's messages (LC_ALL=C) that say that the disk, not a file, is at fault. */
const diskErrors: readonly {
  readonly pattern: RegExp;
  readonly what: string;
  readonly why: string;
  readonly fix: string;
}[] = [
  { pattern: /: No space left on device \(28\)$/, why: 'no space was left on the device', ...full },
  {
    pattern: /: Disk quota exceeded \(122\)$/,
    what: 'this run has written all that it may',
    why: 'it met the limit that the server set for it',
    fix: 'on the server, look at: byteback status; if the client is meant to grow so much: byteback client allow-growth NAME',
  },
  {
    pattern: /: Input\/output error \(5\)$/,
    why: 'the disk could not be written or read: input/output error',
    ...full,
  },
];

/** What one line of the receiver's rsync says of the disk, or undefined. */
export function diskErrorIn(line: string): BytebackError | undefined {
  const found = diskErrors.find(({ pattern }) => pattern.test(line));
  if (found === undefined) return undefined;
  const { what, why, fix } = found;
  return new BytebackError('storeFull', { what, why: `rsync on the server said that ${why}`, fix });
}
