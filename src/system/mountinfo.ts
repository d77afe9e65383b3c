/** What the kernel says of mounts: /proc/self/mountinfo, see proc_pid_mountinfo(5). Paths are byte strings (latin1). */

/** One line of /proc/self/mountinfo. */
export interface KernelMount {
  readonly id: number;
  readonly parent: number;
  /** `major:minor` of the file system: the same for every mount of it. */
  readonly device: string;
  /** The directory (or file) of the file system that is mounted. */
  readonly root: string;
  readonly path: string;
  readonly type: string;
  readonly source: string;
  /** Options of the file system itself, separated by commas. */
  readonly options: string;
}

/** Octal escapes as the kernel writes them: space, tab, newline, backslash, and # in some versions. */
export function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** The mounts of a mountinfo text, in the kernel's order: earlier mounts first. */
export function parseMountinfo(text: string): KernelMount[] {
  const mounts: KernelMount[] = [];
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    // Optional fields stand between the options and a single hyphen.
    const hyphen = fields.indexOf('-', 6);
    if (hyphen < 0) continue;
    const [id, parent, device = '', root = '', path = ''] = fields;
    mounts.push({
      id: Number(id),
      parent: Number(parent),
      device,
      root: unescapeOctal(root),
      path: unescapeOctal(path),
      type: unescapeOctal(fields[hyphen + 1] ?? ''),
      source: unescapeOctal(fields[hyphen + 2] ?? ''),
      options: fields[hyphen + 3] ?? '',
    });
  }
  return mounts;
}
