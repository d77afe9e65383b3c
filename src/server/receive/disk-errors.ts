import { BytebackError } from '../../errors.ts';
import { type DiskTrouble, diskTroubleOf, parseSystemError } from '../../system/rsync-errors.ts';

const full = {
  what: 'the store is full',
  fix: 'on the server, look at: byteback status; then free some space: byteback-prune --free 10%',
};

/** What each trouble is, for people. */
const troubles: Readonly<Record<DiskTrouble, { readonly what: string; readonly why: string; readonly fix: string }>> = {
  full: { why: 'no space was left on the device', ...full },
  quota: {
    what: 'this run has written all that it may',
    why: 'it met the limit that the server set for it',
    fix: 'on the server, look at: byteback status; if the client is meant to grow so much: byteback client allow-growth NAME',
  },
  fails: {
    what: 'the disk of the store fails',
    why: 'the disk could not be written or read: input/output error',
    fix: 'on the server, look at: byteback doctor, and the kernel log: dmesg',
  },
  readOnly: {
    what: 'the store can only be read',
    why: 'its file system is read-only: the kernel makes it so after an error',
    fix: 'on the server, look at: byteback doctor, and the kernel log: dmesg',
  },
};

/** What one line of the receiver's rsync says of the disk, or undefined. */
export function diskErrorIn(line: string): BytebackError | undefined {
  const error = parseSystemError(line);
  const trouble = error === undefined ? undefined : diskTroubleOf(error);
  if (trouble === undefined) return undefined;
  const { what, why, fix } = troubles[trouble];
  return new BytebackError('storeFull', { what, why: `rsync on the server said that ${why}`, fix });
}
