/** Which directories a run's bytes came from: pure. Paths are byte strings. */
import { parentOf } from '../catalogue/record.ts';

/** A directory and what came from it, that of the directories named beside it not counted. */
export interface Grown {
  readonly path: string;
  /** Bytes that went over the wire for its files. */
  readonly sentBytes: number;
  /** Bytes that take new room in the snapshot, before compression: of a file that is written in place, what changed in it. */
  readonly newBytes: number;
}

/** Deeper than this nothing is told apart, so that a tree of millions of directories takes little memory. */
const deepest = 6;
/** A directory is named when this part of the bytes, sent or new, came from it. */
const leastShare = 1 / 20;

/** Adds up what files cost, by directory. */
export class Growth {
  readonly #directories = new Map<string, { sentBytes: number; newBytes: number }>();

  /** @param path of a file, absolute */
  add(path: string, sentBytes: number, newBytes: number): void {
    const directory =
      parentOf(path)
        .split('/')
        .slice(0, deepest + 1)
        .join('/') || '/';
    const sum = this.#directories.get(directory) ?? { sentBytes: 0, newBytes: 0 };
    sum.sentBytes += sentBytes;
    sum.newBytes += newBytes;
    this.#directories.set(directory, sum);
  }

  /** The directories that most came from, the largest first: each as deep as it can be named and still matter. */
  top(most: number): Grown[] {
    const rest = new Map([...this.#directories].map(([path, sum]) => [path, { ...sum }]));
    const total = { sentBytes: 0, newBytes: 0 };
    for (const { sentBytes, newBytes } of rest.values()) {
      total.sentBytes += sentBytes;
      total.newBytes += newBytes;
    }
    const found: Grown[] = [];
    for (let depth = deepest; depth >= 0; depth -= 1) {
      for (const [path, sum] of [...rest]) {
        if (depthOf(path) !== depth) continue;
        const matters =
          sum.sentBytes > total.sentBytes * leastShare || sum.newBytes > total.newBytes * leastShare || path === '/';
        rest.delete(path);
        if (matters && sum.sentBytes + sum.newBytes > 0) found.push({ path, ...sum });
        if (matters || path === '/') continue;
        const above = rest.get(parentOf(path)) ?? { sentBytes: 0, newBytes: 0 };
        above.sentBytes += sum.sentBytes;
        above.newBytes += sum.newBytes;
        rest.set(parentOf(path), above);
      }
    }
    return found.sort((a, b) => b.newBytes - a.newBytes || b.sentBytes - a.sentBytes).slice(0, most);
  }
}

function depthOf(path: string): number {
  return path === '/' ? 0 : path.split('/').length - 1;
}
