import { expect, test } from 'vitest';
import { growingJson } from './growing-json.ts';
import { growingTable, table } from './table.ts';

test('prints what JSON.stringify prints', () => {
  const versions = [{ path: '/a', mode: null, deep: { x: [1, 2] } }, { path: 'two\nlines' }, 3];
  let text = '';
  const json = growingJson('versions', (more) => {
    text += more;
  });
  json.add([], { snapshot: 'S' });
  expect(text).toBe('');
  json.add(versions.slice(0, 1), { snapshot: 'S' });
  expect(text).not.toBe('');
  json.add(versions.slice(1), { snapshot: 'S' });
  json.end({ missing: [{ path: '/b' }], none: [] });
  expect(text).toBe(
    `${JSON.stringify({ snapshot: 'S', versions, missing: [{ path: '/b' }], none: [] }, undefined, 2)}\n`,
  );
});

test('a growing table prints before it ends, and a short one is like any other', () => {
  const columns = [
    { title: 'name', text: (row: number) => `n${row}` },
    { title: 'size', text: (row: number) => `${row}`, align: 'right' as const },
  ];
  const printed = (rows: readonly number[]) => {
    let text = '';
    const growing = growingTable(columns, (more) => {
      text += more;
    });
    for (const row of rows) growing.add([row]);
    const before = text;
    growing.end();
    return { before, text };
  };
  expect(printed([1, 22, 333]).text).toBe(table([1, 22, 333], columns));
  expect(printed([]).text).toBe('');
  const many = Array.from({ length: 5000 }, (_, row) => row);
  const { before, text } = printed([...many, 123_456_789]);
  expect(before.split('\n').length).toBeGreaterThan(4000);
  expect(text.split('\n').slice(0, 900)).toEqual(table(many.slice(0, 1000), columns).split('\n').slice(0, 900));
  expect(text).toContain('n123456789  123456789\n');
});
