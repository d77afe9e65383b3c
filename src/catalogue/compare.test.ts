import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ByteSource, compareCatalogues, eachRecord } from './compare.ts';

/** A stream in pieces of a given size. */
function streamOf(records: readonly string[], pieceBytes: number): ByteSource {
  const bytes = Buffer.from(records.map((record) => `${record}\0`).join(''), 'latin1');
  let at = 0;
  return () => {
    if (at >= bytes.length) return undefined;
    at += pieceBytes;
    return bytes.subarray(at - pieceBytes, at);
  };
}

function differencesOf(before: readonly string[], after: readonly string[], pieces: [number, number]): string[] {
  const told: string[] = [];
  compareCatalogues(streamOf(before, pieces[0]), streamOf(after, pieces[1]), {
    gone: (record) => told.push(`- ${record}`),
    added: (record) => told.push(`+ ${record}`),
    changed: (one, other) => told.push(`${one} > ${other}`),
  });
  return told;
}

const byBytes = (one: string, other: string) => (one < other ? -1 : one > other ? 1 : 0);

describe('two catalogues', () => {
  it('differ in what is gone, added and changed', () => {
    expect(
      differencesOf(
        ['/a\x011', '/a b\x011', '/b\x011', '/d\x011'],
        ['/a\x011', '/b\x012', '/c\x011', '/d\x011'],
        [5, 7],
      ),
    ).toEqual(['- /a b\x011', '/b\x011 > /b\x012', '+ /c\x011']);
    expect(differencesOf([], [], [1, 1])).toEqual([]);
    expect(differencesOf([], ['/a\x011'], [1, 1])).toEqual(['+ /a\x011']);
    expect(differencesOf(['/a\x011'], [], [1, 1])).toEqual(['- /a\x011']);
  });

  it('are compared rightly wherever the pieces end', () => {
    const path = fc.string({ unit: fc.constantFrom('a', 'b', '/', ' ', '\xff', '\x02'), minLength: 1, maxLength: 4 });
    const tree = fc.dictionary(path, fc.constantFrom('1', '2', '33'), { maxKeys: 20 });
    fc.assert(
      fc.property(tree, tree, fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 }), (one, other, a, b) => {
        const list = (entries: Record<string, string>) =>
          Object.entries(entries)
            .map(([name, value]) => `/${name}\x01${value}`)
            .toSorted(byBytes);
        const expected = [...new Set([...Object.keys(one), ...Object.keys(other)])]
          .toSorted((x, y) => byBytes(`${x}\x01`, `${y}\x01`))
          .flatMap((name) => {
            const [before, after] = [one[name], other[name]];
            if (before === after) return [];
            if (after === undefined) return [`- /${name}\x01${before}`];
            if (before === undefined) return [`+ /${name}\x01${after}`];
            return [`/${name}\x01${before} > /${name}\x01${after}`];
          });
        expect(differencesOf(list(one), list(other), [a, b])).toEqual(expected);
      }),
      { numRuns: 2000 },
    );
  });

  it('are compared in whole blocks as they are byte by byte', () => {
    const many = Array.from({ length: 3000 }, (_, at) => `/${String(at).padStart(6, '0')}\x01same`);
    for (const place of [0, 1, 546, 1500, 2998, 2999]) {
      const other = many.with(place, `${many[place]}r`);
      expect(differencesOf(many, other, [100_000, 30_000])).toEqual([`${many[place]} > ${many[place]}r`]);
    }
    expect(differencesOf(many, many, [100_000, 30_000])).toEqual([]);
    expect(differencesOf(many, many.slice(0, -1), [8192, 8191])).toEqual([`- ${many.at(-1)}`]);
  });

  it('are read record by record', () => {
    const records = ['/a\x011', `/${'x'.repeat(10_000)}\x011`, '/b\x011'];
    const seen: string[] = [];
    eachRecord(streamOf(records, 3), (record) => seen.push(record));
    expect(seen).toEqual(records);
  });
});
