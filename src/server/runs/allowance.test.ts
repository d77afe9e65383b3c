import { expect, it } from 'vitest';
import { allowanceBytes } from './allowance.ts';

const totalBytes = 100_000_000_000;
const floorBytes = 5_000_000_000;

it.each<[string, number | null, number, number]>([
  // limit, free, allowance; 1 GB stays in reserve
  ['nothing is known of the client: all but the reserve', null, 50_000_000_000, 49_000_000_000],
  ['much room: down to the floor, whatever its own limit', 2_000_000_000, 50_000_000_000, 45_000_000_000],
  ['space is short: its own limit', 2_000_000_000, 4_000_000_000, 2_000_000_000],
  ['space is short: never the reserve', 20_000_000_000, 4_000_000_000, 3_000_000_000],
  ['whole bytes', 2_000_000_000.4, 4_000_000_000.5, 2_000_000_000],
  ['nothing is left', 2_000_000_000, 900_000_000, 0],
  ['nothing is left, nothing is known', null, 900_000_000, 0],
])('%s', (_, limitBytes, freeBytes, expected) => {
  expect(allowanceBytes({ limitBytes, floorBytes }, { freeBytes, totalBytes })).toBe(expected);
});
