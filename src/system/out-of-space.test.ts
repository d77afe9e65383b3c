import { expect, test } from 'vitest';
import { isOutOfSpace } from './out-of-space.ts';
import { ProgramError } from './run.ts';

const program = (stderr: string) => new ProgramError(['btrfs'], { stderr, why: 'it exited 1' });

test.each<[string, unknown, boolean]>([
  ['a code', Object.assign(new Error('write'), { code: 'ENOSPC' }), true],
  ['a quota', Object.assign(new Error('write'), { code: 'EDQUOT' }), true],
  ['a cause', new Error('outer', { cause: Object.assign(new Error('write'), { code: 'ENOSPC' }) }), true],
  ['another code', Object.assign(new Error("ENOENT: 'No space left on device'"), { code: 'ENOENT' }), false],
  ['a program', program("ERROR: Could not create '/s/x': No space left on device\n"), true],
  ['a name in what a program says', program("ERROR: '/s/: No space left on device': Permission denied\n"), false],
  ['words in a message', new Error('ENOSPC'), false],
  ['nothing', undefined, false],
])('%s', (_, error, expected) => {
  expect(isOutOfSpace(error)).toBe(expected);
});
