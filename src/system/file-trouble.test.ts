import { expect, it } from 'vitest';
import { fileTroubleIn } from './file-trouble.ts';
import { ProgramError } from './run.ts';

const node = (code: string, path?: string) =>
  Object.assign(new Error(`${code}: said`), { code, ...(path ? { path } : {}) });
const program = (stderr: string) => new ProgramError(['btrfs'], { exitCode: 1, stderr, why: 'exited 1' });

it.each([
  ['a read that fails', node('EIO', '/x'), 'EIO'],
  ['a write through a descriptor', node('ENOSPC'), 'ENOSPC'],
  ['a quota', node('EDQUOT', '/x'), 'EDQUOT'],
  ['a read-only file system', node('EROFS', '/x'), 'EROFS'],
  ['a name that is gone', node('ENOENT', '/x'), 'gone'],
  ['an NFS server that forgot it', node('ESTALE', '/x'), 'gone'],
  ['btrfs on a read-only store', program('ERROR: cannot snapshot: Read-only file system\n'), 'EROFS'],
  ['btrfs on a disk that fails', program('ERROR: could not create subvolume: Input/output error\n'), 'EIO'],
  ['what it was the cause of', new Error('x', { cause: node('EIO', '/x') }), 'EIO'],
  ['a name that has the words in it', program("ERROR: cannot open 'x: Read-only file system.txt'\n"), undefined],
  ['another error', node('EINVAL', '/x'), undefined],
  ['a bug', new TypeError('x'), undefined],
])('%s', (_, error, expected) => {
  expect(fileTroubleIn(error)?.code).toBe(expected);
});
