import { decodeRsyncName, type RsyncProgress } from './rsync-output.ts';

/** Something that was brought, changed, or differs. */
export interface PullItem {
  /** As rsync itemizes it, without what the letters stand for: `>f.st......`. */
  readonly flags: string;
  /** True for a file whose content came over, or would. */
  readonly content: boolean;
  readonly sizeBytes: number;
  /** XXH3 with 128 bits of the whole file, as the server sent it and rsync compared it with what arrived. */
  readonly digest?: string;
  /** Relative to the directory, as bytes; a directory ends in a slash. */
  readonly name: Buffer;
}

/** One line of `--out-format`; undefined for every other line. */
export function parsePullItem(line: string): PullItem | undefined {
  const match = /^=(.)(.{10}) (?:C([0-9a-f]{32}| {32}) )? *(\d+) (.*)$/.exec(line);
  if (match === null) return undefined;
  const [, update = '', flags = '', digest = ' ', size, name = ''] = match;
  return {
    flags: update + flags,
    content: update === '>',
    sizeBytes: Number(size),
    ...(digest.startsWith(' ') ? {} : { digest }),
    name: decodeRsyncName(name),
  };
}

/** What is told while it runs. */
export interface PullWatcher {
  /** rsync waits for it: what takes long must not pile up. */
  item?(item: PullItem): Promise<void> | void;
  progress?(progress: RsyncProgress): void;
}

/** What rsync tells on its standard output, understood piece by piece. */
export class PullTold {
  watcher: PullWatcher;
  #rest = '';
  files = 0;
  bytes = 0;
  moved = false;
  readonly skipped: Buffer[] = [];

  constructor(watcher: PullWatcher) {
    this.watcher = watcher;
  }

  /** @returns a promise only when a watcher takes its time. */
  hear(text: string): Promise<void> | undefined {
    // Cut by hand: readline takes as long for a line as all the rest of this.
    const lines = `${this.#rest}${text}`.split('\n');
    this.#rest = lines.pop() ?? '';
    return this.#understand(lines, 0);
  }

  /** Nothing more comes. */
  async end(): Promise<void> {
    await this.#understand([this.#rest], 0);
  }

  #understand(lines: readonly string[], from: number): Promise<void> | undefined {
    for (let at = from; at < lines.length; at += 1) {
      const done = this.#take(lines[at] ?? '');
      if (done !== undefined) return done.then(() => this.#understand(lines, at + 1));
    }
    return undefined;
  }

  #take(line: string): Promise<void> | undefined {
    const item = parsePullItem(line);
    if (item === undefined) {
      const left = /^skipping non-regular file "(.*)"$/.exec(line)?.[1];
      if (left !== undefined) this.skipped.push(decodeRsyncName(left));
      return undefined;
    }
    if (item.content) {
      this.files += 1;
      this.bytes += item.sizeBytes;
      this.moved = true;
    }
    return this.watcher.item?.(item) ?? undefined;
  }
}
