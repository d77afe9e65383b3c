import { expect, it } from 'vitest';
import { translated, translation } from './devices.ts';

const boot = { bootId: 'one', names: { '10': 'ext4 a', '11': 'btrfs b' } };
const record = (device: string) => `/srv/a\x01f 3 1.0 2.0 ${device}:7 1 644 0 0\0`;

it('needs no translation while every number means what it meant', () => {
  expect(translation(boot, boot)).toBeUndefined();
  expect(translation(boot, { ...boot, names: { '11': 'btrfs b', '10': 'ext4 a' } })).toBeUndefined();
});

it('follows a file system to its new number, also where two change places', () => {
  const translate = translation(boot, { bootId: 'two', names: { '10': 'btrfs b', '11': 'ext4 a' } });
  expect(translate?.('10')).toBe('11');
  expect(translate?.('11')).toBe('10');
});

it('takes a number that means something else now, or nothing that survives a boot, for no device', () => {
  const translate = translation(boot, { bootId: 'one', names: { '10': 'ext4 a', '12': 'xfs c' } });
  expect(translate?.('11')).toBe('11!');
  expect(translate?.('12')).toBe('12!');
  expect(translate?.('13')).toBe('13');
  expect(translation(boot, { ...boot, bootId: 'two' })?.('13')).toBe('13!');
});

it('translates records, wherever the pieces of a file end', () => {
  const text = Buffer.from(record('10') + record('11') + record('13'), 'latin1');
  for (let size = 1; size < text.length; size += 1) {
    const pieces = Array.from({ length: Math.ceil(text.length / size) }, (_, at) =>
      text.subarray(at * size, (at + 1) * size),
    );
    const source = translated(
      () => pieces.shift(),
      (number) => `${Number(number) + 100}`,
    );
    let result = '';
    for (let piece = source(); piece !== undefined; piece = source()) result += Buffer.from(piece).toString('latin1');
    expect(result).toBe(record('110') + record('111') + record('113'));
  }
});
