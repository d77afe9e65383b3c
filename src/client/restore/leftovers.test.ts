import { expect, test } from 'vitest';
import { writtenFor } from './leftovers.ts';

const long = 'n'.repeat(250);

test.each<[string, string[], string | undefined]>([
  ['.name.JIc93T', ['name'], 'name'],
  ['..hidden.JIc93T', ['.hidden'], '.hidden'],
  ['.hidden.JIc93T', ['.hidden'], '.hidden'],
  // What the snapshot has is no leftover, whatever it is called.
  ['.name.JIc93T', ['name', '.name.JIc93T'], undefined],
  ['.name.JIc93T', ['other'], undefined],
  ['.name.backups', ['name'], undefined],
  ['.name.bak', ['name'], undefined],
  ['name.JIc93T', ['name'], undefined],
  [`.${long.slice(0, 245)}.JIc93T`, [long], long],
  ['.n.JIc93T', [long], undefined],
  ['.new\nline.JIc93T', ['new\nline'], 'new\nline'],
])('%j beside %j', (name, listed, expected) => {
  expect(writtenFor(name, new Set(listed))).toBe(expected);
});
