import { reasonOf } from '../errors.ts';

/** What a file system cannot do, whatever program noticed it. */
export interface FileTrouble {
  readonly code: 'EIO' | 'EROFS' | 'ENOSPC' | 'EDQUOT' | 'gone';
  /** One line. */
  readonly why: string;
  /** Where, when it is known. */
  readonly path: string | undefined;
}

const words: Readonly<Record<FileTrouble['code'], string>> = {
  EIO: 'the disk could not be read or written: input/output error',
  EROFS: 'the file system can only be read; the kernel makes it so after an error of its disk',
  ENOSPC: 'no space is left there',
  EDQUOT: 'the disk quota is used up',
  gone: 'it is gone, or its file system is not mounted any more',
};

/** Node's codes, of which several mean that what was there is there no more. */
const codes: Readonly<Record<string, FileTrouble['code']>> = {
  EIO: 'EIO',
  EROFS: 'EROFS',
  ENOSPC: 'ENOSPC',
  EDQUOT: 'EDQUOT',
  ENOENT: 'gone',
  ENOTDIR: 'gone',
  ESTALE: 'gone',
  ENODEV: 'gone',
  ENXIO: 'gone',
  ENOTCONN: 'gone',
};

/** How programs word them (LC_ALL=C), at the end of a line of theirs. */
const endings: readonly (readonly [RegExp, FileTrouble['code']])[] = [
  [/: Input\/output error(?: \(5\))?$/m, 'EIO'],
  [/: Read-only file system(?: \(30\))?$/m, 'EROFS'],
  [/: No space left on device(?: \(28\))?$/m, 'ENOSPC'],
  [/: Disk quota exceeded(?: \(122\))?$/m, 'EDQUOT'],
];

/** The trouble with files that an error tells of: the kernel's own code, or how a program that was run ended; undefined for others. */
export function fileTroubleIn(error: unknown): FileTrouble | undefined {
  const { code, path, stderr } = (error instanceof Error ? error : {}) as NodeJS.ErrnoException & { stderr?: unknown };
  const own = typeof code === 'string' && Object.hasOwn(codes, code) ? codes[code] : undefined;
  const found =
    own ?? (typeof stderr === 'string' ? endings.find(([ending]) => ending.test(stderr.trimEnd()))?.[1] : undefined);
  if (found === undefined) {
    const { cause } = (error instanceof Error ? error : {}) as { cause?: unknown };
    return cause === undefined ? undefined : fileTroubleIn(cause);
  }
  return { code: found, why: `${words[found]}${path === undefined ? '' : ` (${reasonOf(error)})`}`, path };
}
