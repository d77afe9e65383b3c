import { expect, test } from 'vitest';
import type { ListedEntry, ListedType } from '../../protocol/tree-list.ts';
import { withoutPrivilege } from './privileges.ts';

const entry: ListedEntry = {
  name: 'a',
  type: 'file',
  mode: 0o7755,
  uid: 1,
  gid: 2,
  sizeBytes: 5,
  mtimeNs: 1n,
  linkGroup: '',
  device: '',
  onTheWay: false,
  target: '',
  held: { rights: false, label: false, foreign: false },
  attributes: 'security.capability=01 user.a=02',
};

test.each<[ListedType, boolean]>([
  ['file', true],
  ['directory', true],
  ['link', true],
  ['fifo', true],
  ['socket', true],
  ['unreadable', true],
  ['block', false],
  ['character', false],
])('a %s comes to the server: %s', (type, comes) => {
  expect(withoutPrivilege({ ...entry, type }) !== undefined).toBe(comes);
});

test('what comes has no rights of its own', () => {
  expect(withoutPrivilege(entry)).toEqual({ ...entry, mode: 0o1755, attributes: 'user.a=02' });
  expect(withoutPrivilege({ ...entry, mode: null, attributes: '' })).toEqual({ ...entry, mode: null, attributes: '' });
});
