import { describe, expect, test } from 'vitest';
import { attributesText, heldIn, type ListedEntry, ListParser, listEnd, listRecord } from './tree-list.ts';

const entry: ListedEntry = {
  name: 'srv/a\nb\xff',
  type: 'file',
  mode: 0o4755,
  uid: 1000,
  gid: 4_294_967_295,
  sizeBytes: 12,
  mtimeNs: -1_500_000_000n,
  linkGroup: '257',
  device: '',
  onTheWay: false,
  target: '',
  held: { rights: false, label: false, foreign: false },
  attributes: 'user.a=00',
};
const entries: ListedEntry[] = [
  { ...entry, name: '', type: 'directory', onTheWay: true, linkGroup: '', attributes: '' },
  entry,
  { ...entry, name: 'link', type: 'link', mode: null, target: '/etc/pa\nsswd' },
  { ...entry, name: 'null', type: 'character', device: '1,3' },
  { ...entry, name: 'gone', type: 'unreadable' },
  { ...entry, held: { rights: true, label: false, foreign: true } },
];
const bytes = Buffer.from(entries.map(listRecord).join('') + listEnd(entries.length), 'latin1');

describe('a list', () => {
  test.each([1, 2, 7, 1000])('is read as it was written, %i bytes at a time', (step) => {
    const parser = new ListParser();
    const read: ListedEntry[] = [];
    for (let at = 0; at < bytes.length; at += step) read.push(...parser.take(bytes.subarray(at, at + step)));
    expect(read).toEqual(entries);
    expect(parser.isWhole).toBe(true);
  });

  test('that was cut anywhere is not whole', () => {
    for (let length = 0; length < bytes.length; length += 1) {
      const parser = new ListParser();
      for (const _ of parser.take(bytes.subarray(0, length)));
      expect(parser.isWhole, `${length} of ${bytes.length} bytes`).toBe(false);
    }
  });

  test('that lost a record is not whole', () => {
    const parser = new ListParser();
    for (const _ of parser.take(Buffer.from(listRecord(entry) + listEnd(2), 'latin1')));
    expect(parser.isWhole).toBe(false);
  });

  test.each(['x 1 2 3\0a\0\0\0', 'f 644 0 0 1 soon 0 0,0\0a\0\0\0'])('of something else is refused: %j', (text) => {
    expect(() => [...new ListParser().take(Buffer.from(text, 'latin1'))]).toThrow('not as it should be');
  });
});

test('of the attributes only those of the source are compared', () => {
  const all = new Map([
    ['user.b', '01'],
    ['user.a', ''],
    ['user.rsync.%stat', '02'],
    ['user.rsync.security.capability', '03'],
    ['security.capability', '04'],
    ['security.selinux', '05'],
    ['system.posix_acl_access', '06'],
    ['trusted.overlay.opaque', '07'],
  ]);
  expect(attributesText(all)).toBe('security.capability=04 user.a= user.b=01');
});

test.each<[string, ReturnType<typeof heldIn>]>([
  ['user.rsync.security.capability', { rights: true, label: false, foreign: false }],
  ['user.rsync.trusted.overlay.opaque', { rights: true, label: false, foreign: false }],
  ['user.rsync.security.selinux', { rights: false, label: true, foreign: false }],
  ['user.rsync.security.selinux2', { rights: true, label: false, foreign: false }],
  ['user.rsync.system.posix_acl_access', { rights: false, label: false, foreign: true }],
  ['user.rsync.user.a', { rights: false, label: false, foreign: true }],
  ['user.rsync.', { rights: false, label: false, foreign: true }],
  ['user.rsync.%stat', { rights: false, label: false, foreign: false }],
  ['user.rsync.%aacl', { rights: false, label: false, foreign: false }],
  ['user.rsyncs', { rights: false, label: false, foreign: false }],
  ['security.capability', { rights: false, label: false, foreign: false }],
])('%s is known by its name', (name, held) => {
  expect(heldIn([name])).toEqual(held);
});
