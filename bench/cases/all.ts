import type { BenchCase } from '../compare/case.ts';
import { changes } from './changes.ts';
import { first } from './first.ts';
import { image } from './image.ts';
import { million } from './million.ts';
import { nothing } from './nothing.ts';
import { renamed } from './renamed.ts';
import { restores } from './restore.ts';

/** In the order of the table. */
export const allCases: readonly BenchCase[] = [
  nothing,
  first,
  changes(0),
  changes(0.01),
  renamed,
  image,
  ...restores,
  million,
];
