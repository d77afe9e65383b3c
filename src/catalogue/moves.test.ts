import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Change, isSame, planSending } from './changes.ts';
import { changesAfter, findMoves, type Move } from './moves.ts';
import type { Entry } from './record.ts';

/** An entry: type and inode, the rest the same unless told. */
function entry(path: string, type: string, inode: number, rest: Partial<Entry> = {}): Entry {
  return {
    path,
    type,
    sizeBytes: 10,
    mtime: '1',
    ctime: '1',
    inode: String(inode),
    links: 1,
    rights: '644 0 0',
    ...rest,
  };
}

/** The changes between two trees, as compare tells them. */
function changesBetween(before: readonly Entry[], after: readonly Entry[]): Change[] {
  const paths = [...new Set([...before, ...after].map(({ path }) => path))].sort();
  return paths.flatMap((path): Change[] => {
    const one = before.find((each) => each.path === path);
    const other = after.find((each) => each.path === path);
    if (one !== undefined && other !== undefined && isSame(one, other)) return [];
    return [{ path, ...(one === undefined ? {} : { before: one }), ...(other === undefined ? {} : { after: other }) }];
  });
}

function moves(before: readonly Entry[], after: readonly Entry[]): string[] {
  return findMoves(changesBetween(before, after)).map(({ from, to }) => `${from} > ${to}`);
}

describe('moves', () => {
  it('are found by inode, the topmost only', () => {
    const before = [entry('/a', 'd', 1), entry('/a/x', 'f', 2), entry('/a/s', 'd', 3), entry('/a/s/y', 'f', 4)];
    const after = [
      entry('/b', 'd', 1, { ctime: '2' }),
      entry('/b/x', 'f', 2),
      entry('/b/s', 'd', 3),
      entry('/b/s/y', 'f', 4),
    ];
    expect(moves(before, after)).toEqual(['/a > /b']);
    const left = changesAfter(changesBetween(before, after), [{ from: '/a', to: '/b', type: 'd' }]);
    expect(left.map(({ path }) => path)).toEqual(['/b']);
  });

  it('of files need the same size and time', () => {
    const before = [entry('/x', 'f', 2)];
    expect(moves(before, [entry('/y', 'f', 2, { ctime: '2' })])).toEqual(['/x > /y']);
    expect(moves(before, [entry('/y', 'f', 2, { sizeBytes: 11 })])).toEqual([]);
    expect(moves(before, [entry('/y', 'f', 2, { mtime: '3' })])).toEqual([]);
    expect(moves(before, [entry('/y', 'f', 2, { links: 2 }), entry('/z', 'f', 2, { links: 2 })])).toEqual([]);
    // What was moved itself is compared by checksum: an inode is used again at once.
    const left = changesAfter(changesBetween(before, [entry('/y', 'f', 2, { ctime: '2' })]), [
      { from: '/x', to: '/y', type: 'f' },
    ]);
    expect(planSending(left, { fromBytes: 1e6, blockSizeFor: () => 4096, sparse: new Map() }).checksum).toEqual(['/y']);
  });

  it('go in swaps, chains, and out of each other', () => {
    expect(
      moves(
        [entry('/a', 'd', 1), entry('/b', 'd', 2)],
        [entry('/a', 'd', 2, { ctime: '2' }), entry('/b', 'd', 1, { ctime: '2' })],
      ),
    ).toEqual(['/b > /a', '/a > /b']);
    expect(
      moves(
        [entry('/a', 'd', 1), entry('/a/f', 'f', 3), entry('/c', 'd', 5)],
        [
          entry('/b', 'd', 1, { ctime: '2' }),
          entry('/c', 'd', 5, { mtime: '2' }),
          entry('/c/f', 'f', 3, { ctime: '2' }),
        ],
      ),
    ).toEqual(['/a > /b', '/a/f > /c/f']);
  });

  it('are none where something stayed inside', () => {
    // /a and /b were swapped, and /a/s was moved back to where it was.
    const before = [entry('/a', 'd', 1), entry('/a/s', 'd', 3), entry('/a/s/y', 'f', 4), entry('/b', 'd', 2)];
    const after = [
      entry('/a', 'd', 2, { ctime: '2' }),
      entry('/a/s', 'd', 3, { ctime: '2' }),
      entry('/a/s/y', 'f', 4),
      entry('/b', 'd', 1, { ctime: '2' }),
    ];
    expect(moves(before, after)).toEqual([]);
  });

  it('are none from an inode that was used again inside itself', () => {
    expect(moves([entry('/a', 'd', 1)], [entry('/a', 'd', 9), entry('/a/b', 'd', 1)])).toEqual([]);
  });

  it('leave the true difference, on random trees and random renames', () => {
    type Node = { type: 'd' | 'f'; inode: number; ctime: number; children: Map<string, Node> };
    const names = ['a', 'b', 'c'];
    const operation = fc.record({
      kind: fc.constantFrom('rename', 'rename', 'rename', 'remove', 'file', 'directory'),
      from: fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 }),
      to: fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 20 }), fc.array(operation, { maxLength: 12 }), (first, second) => {
        let clock = 1;
        const free: number[] = [];
        let inodes = 10;
        const root: Node = { type: 'd', inode: 1, ctime: 0, children: new Map() };
        const find = (path: readonly string[]): Node | undefined =>
          path.reduce<Node | undefined>((node, name) => node?.children.get(name), root);
        const apply = ({ kind, from, to }: { kind: string; from: string[]; to: string[] }) => {
          clock += 1;
          const toParent = find(to.slice(0, -1));
          const toName = to.at(-1) ?? '';
          if (toParent?.type !== 'd') return;
          const drop = (parent: Node, name: string) => {
            const gone = parent.children.get(name);
            if (gone !== undefined) free.push(gone.inode);
            parent.children.delete(name);
          };
          if (kind === 'remove') drop(toParent, toName);
          else if (kind === 'rename') {
            const fromParent = find(from.slice(0, -1));
            const node = fromParent?.children.get(from.at(-1) ?? '');
            const into = to.join('/').startsWith(`${from.join('/')}/`) || from.join('/').startsWith(`${to.join('/')}/`);
            if (fromParent === undefined || node === undefined || into || from.join('/') === to.join('/')) return;
            drop(toParent, toName);
            fromParent.children.delete(from.at(-1) ?? '');
            node.ctime = clock;
            toParent.children.set(toName, node);
          } else {
            drop(toParent, toName);
            // An inode that was freed is used again at once, as ext4 does.
            const inode = free.pop() ?? inodes++;
            toParent.children.set(toName, {
              type: kind === 'file' ? 'f' : 'd',
              inode,
              ctime: clock,
              children: new Map(),
            });
          }
        };
        const list = (node: Node, path: string): Entry[] =>
          [...node.children].flatMap(([name, child]) => [
            // Files all look the same by size and time: the worst case.
            entry(`${path}/${name}`, child.type, child.inode, { ctime: String(child.ctime) }),
            ...list(child, `${path}/${name}`),
          ]);
        for (const each of first) apply(each);
        const before = list(root, '');
        for (const each of second) apply(each);
        const after = list(root, '');

        const changes = changesBetween(before, after);
        const found = findMoves(changes);
        const server = new Map(before.map((each) => [each.path, each]));
        replay(server, found);
        // What the server has after the replay, and what the client thinks that it has, must be the same.
        const thought = new Map(after.map((each) => [each.path, each]));
        for (const { path, before: had } of changesAfter(changes, found)) {
          if (had === undefined) thought.delete(path);
          else thought.set(path, had);
        }
        const shown = (entries: Map<string, Entry>) =>
          [...entries].map(([path, { inode, ctime }]) => `${path} ${inode} ${ctime}`).sort();
        expect(shown(server)).toEqual(shown(thought));
      }),
      { numRuns: 5000 },
    );
  });
});

/** What the server does, on a map of paths: all sources out, the deepest first; then into place, the topmost first. */
function replay(server: Map<string, Entry>, list: readonly Move[]): void {
  const depth = (path: string) => path.split('/').length;
  const cut = (path: string): [string, Entry][] => {
    const taken = [...server].filter(([each]) => each === path || each.startsWith(`${path}/`));
    for (const [each] of taken) server.delete(each);
    return taken.map(([each, value]) => [each.slice(path.length), value]);
  };
  const staged = list.toSorted((a, b) => depth(b.from) - depth(a.from)).map((move) => ({ move, tree: cut(move.from) }));
  for (const { move, tree } of staged.toSorted((a, b) => depth(a.move.to) - depth(b.move.to))) {
    cut(move.to);
    for (const [rest, value] of tree) server.set(move.to + rest, { ...value, path: move.to + rest });
  }
}
