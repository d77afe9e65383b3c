import fc from 'fast-check';
import { parse, stringify } from 'smol-toml';
import { describe, expect, test } from 'vitest';
import { findKeyLines, type KeyPath } from './key-lines.ts';

const document = `# a comment with key = "value" in it
plain = "a # no comment" # one = 1
'quoted.name' = 'x'

list = [ # first
  "one",
  { deep = 1,
    deeper = [ 2 ] }, # third
  "three" ]
long = """
key = "inside a text"
[header] = also "" inside \\""" still
"""
literal = '''
plain = 1'''''
dotted . "a b".c = 1

[table]
key = { inner = 3, other = "}" }
[ table . "sub.table" ]
key = 1
[[many]]
key = 1
[[many]]
key = 2
[many.below]
key = 3
`;

describe('findKeyLines', () => {
  const lines = findKeyLines(document);

  test('the document is TOML', () => {
    expect(() => parse(document)).not.toThrow();
  });

  test.each<[KeyPath, number]>([
    [['plain'], 2],
    [['quoted.name'], 3],
    [['list'], 5],
    [['list', 0], 6],
    [['list', 1], 7],
    [['list', 1, 'deep'], 7],
    [['list', 1, 'deeper', 0], 8],
    [['list', 2], 9],
    [['long'], 10],
    [['literal'], 14],
    [['dotted'], 16],
    [['dotted', 'a b', 'c'], 16],
    [['table'], 18],
    [['table', 'key', 'inner'], 19],
    [['table', 'key', 'other'], 19],
    [['table', 'sub.table'], 20],
    [['table', 'sub.table', 'key'], 21],
    [['many'], 22],
    [['many', 0, 'key'], 23],
    [['many', 1, 'key'], 25],
    [['many', 1, 'below', 'key'], 27],
  ])('%j', (path, line) => {
    expect(lines.lineOf(path)).toBe(line);
  });

  test('what the text does not name is where its table is', () => {
    expect(lines.lineOf(['table', 'missing'])).toBe(18);
    expect(lines.lineOf(['missing'])).toBe(1);
  });

  test('CRLF', () => {
    const crlf = findKeyLines('a = 1\r\n# x\r\nb = [\r\n1,\r\n2]\r\n[t]\r\nc = 3\r\n');
    expect([crlf.lineOf(['b', 1]), crlf.lineOf(['t', 'c'])]).toEqual([5, 7]);
  });

  test('any document that is written has each of its keys on the line where it stands', () => {
    const key = fc.string({ minLength: 1 }).filter((text) => text.isWellFormed());
    const value = fc.oneof(
      fc.string().filter((text) => text.isWellFormed()),
      fc.integer(),
      fc.boolean(),
    );
    fc.assert(
      fc.property(
        fc.dictionary(key, fc.oneof(value, fc.array(value), fc.dictionary(key, value)), { noNullPrototype: true }),
        (tables) => {
          const toml = stringify(tables);
          const found = findKeyLines(toml);
          const text = toml.split('\n');
          for (const [name, content] of Object.entries(tables)) {
            const line = text[found.lineOf([name]) - 1] ?? '';
            expect(namesIn(line)).toContain(name);
            if (typeof content !== 'object' || Array.isArray(content)) continue;
            for (const inner of Object.keys(content))
              expect(namesIn(text[found.lineOf([name, inner]) - 1] ?? '')).toContain(inner);
          }
        },
      ),
    );
  });
});

/** The key that a line written by the library holds, read by the library itself. */
function namesIn(line: string): string[] {
  const [name] = Object.entries(parse(line));
  return name === undefined ? [] : [name[0]];
}
