import { expect, test } from 'vitest';
import { rightsOf } from './rights.ts';

const held = { rights: true, label: false, foreign: false };
const ofRoot = { held, type: 'file', uid: 0, mode: 0o755 } as const;

test.each([
  ['a file of root', ofRoot, true, false],
  ['a directory of root', { ...ofRoot, type: 'directory' }, true, false],
  ['a file of a user', { ...ofRoot, uid: 1 }, false, true],
  ['a file that its group may write', { ...ofRoot, mode: 0o775 }, false, true],
  ['a file that all may write', { ...ofRoot, mode: 0o4757 }, false, true],
  ['a directory in which all may write', { ...ofRoot, type: 'directory', mode: 0o1777 }, false, true],
  ['a file whose owner is not known', { ...ofRoot, mode: null }, false, true],
  ['a link of root', { ...ofRoot, type: 'link', mode: 0o777 }, true, false],
  ['a link of a user', { ...ofRoot, type: 'link', mode: 0o777, uid: 1 }, false, true],
  ['nothing of the kind', { ...ofRoot, held: { ...held, rights: false } }, false, false],
  ['a label of root', { ...ofRoot, held: { ...held, rights: false, label: true } }, true, false],
  ['a label of a user', { ...ofRoot, uid: 1, held: { ...held, rights: false, label: true } }, false, false],
  ['what is foreign, and a right of root', { ...ofRoot, held: { ...held, foreign: true } }, true, true],
] as const)('%s', (_, entry, given, isWithheld) => {
  const rights = rightsOf(entry);
  expect(rights.given).toBe(given);
  expect(rights.withheld !== undefined).toBe(isWithheld);
});
