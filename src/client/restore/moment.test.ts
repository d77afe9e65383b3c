import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BytebackError } from '../../errors.ts';
import { parseMoment } from './moment.ts';

const before = process.env.TZ;
beforeAll(() => {
  process.env.TZ = 'Europe/Berlin';
});
afterAll(() => {
  if (before === undefined) delete process.env.TZ;
  else process.env.TZ = before;
});

/** 2026-11-21 10:30 in Berlin. */
const now = new Date('2026-11-21T09:30:00Z');

describe('parseMoment', () => {
  test.each([
    ['now', '2026-11-21T09:30:00.000Z'],
    ['3 days ago', '2026-11-18T09:30:00.000Z'],
    ['1 day ago', '2026-11-20T09:30:00.000Z'],
    ['a week ago', '2026-11-14T09:30:00.000Z'],
    ['an hour ago', '2026-11-21T08:30:00.000Z'],
    // Half past ten before the clocks were put back: in UTC an hour earlier.
    ['1 month ago', '2026-10-21T08:30:00.000Z'],
    ['2026-11-01', '2026-11-01T22:59:59.999Z'],
    ['2026-11-01 14:00', '2026-11-01T13:00:00.000Z'],
    ['2026-11-01T14:00:30', '2026-11-01T13:00:30.000Z'],
    ['2026-07-01 14:00', '2026-07-01T12:00:00.000Z'],
    ['2026-11-01T14:00Z', '2026-11-01T14:00:00.000Z'],
    ['2026-11-01 14:00:05Z', '2026-11-01T14:00:05.000Z'],
    ['2026-11-01T140000Z', '2026-11-01T14:00:00.000Z'],
    ['yesterday', '2026-11-20T22:59:59.999Z'],
    ['today', '2026-11-21T22:59:59.999Z'],
    // It is 10:30: two o'clock was yesterday, nine this morning.
    ['14:00', '2026-11-20T13:00:00.000Z'],
    ['09:00', '2026-11-21T08:00:00.000Z'],
    [' 3 days ago ', '2026-11-18T09:30:00.000Z'],
  ])('%s', (text, expected) => {
    expect(parseMoment(text, now).toISOString()).toBe(expected);
  });

  test.each([
    '',
    'tomorrow',
    '2026-02-30',
    '2026-04-31T10:00Z',
    '25:00',
    '2026-13-01',
    '3 days',
    '-3 days ago',
    '26-11-01',
    '1e3',
  ])('refuses %j', (text) => {
    expect(() => parseMoment(text, now)).toThrow(BytebackError);
  });
});
