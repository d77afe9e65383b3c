/** What was drawn for a drill, and what of it was equal. */
export interface Compared {
  readonly drawn: { readonly files: number; readonly bytes: number };
  readonly equal: { readonly files: number; readonly bytes: number };
  /** Files that differ though the client says that they are unchanged. */
  readonly wrong: number;
}

/** The least part of the drawn files that must be equal. */
const leastFiles = 1 / 2;
/** The least part of their bytes: a few large files that change each day, a database say, may be most of what was drawn. */
const leastBytes = 1 / 10;

/**
 * Why a drill proves nothing, or undefined when it does. What has changed on the client since is not compared; a client that says so
 * of nearly everything, or of all but empty files, is not proven by the rest.
 */
export function whyNoProof({ drawn, equal, wrong }: Compared): string | undefined {
  if (wrong > 0) return `${wrong} of ${drawn.files} files differ`;
  if (equal.files === 0 || equal.files < drawn.files * leastFiles) {
    return `only ${equal.files} of ${drawn.files} files could be compared, and at least half must be equal`;
  }
  if (equal.bytes === 0 || equal.bytes < drawn.bytes * leastBytes) {
    return `only ${equal.bytes} of ${drawn.bytes} bytes could be compared, and at least a tenth must be equal`;
  }
  return undefined;
}
