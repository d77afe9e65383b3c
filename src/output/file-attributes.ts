const typeLetters: Readonly<Record<string, string>> = {
  file: '-',
  directory: 'd',
  link: 'l',
  fifo: 'p',
  socket: 's',
  block: 'b',
  character: 'c',
};

/** "-rwxr-sr-x", as ls shows it; "??????????" when the mode is not known. */
export function modeInWords(type: string, mode: number | null): string {
  const first = typeLetters[type] ?? '?';
  if (mode === null) return `${first}?????????`;
  const bit = (mask: number, letter: string) => ((mode & mask) === 0 ? '-' : letter);
  const execute = (mask: number, special: number, letter: string) =>
    (mode & special) === 0 ? bit(mask, 'x') : (mode & mask) === 0 ? letter.toUpperCase() : letter;
  return [
    first,
    bit(0o400, 'r'),
    bit(0o200, 'w'),
    execute(0o100, 0o4000, 's'),
    bit(0o040, 'r'),
    bit(0o020, 'w'),
    execute(0o010, 0o2000, 's'),
    bit(0o004, 'r'),
    bit(0o002, 'w'),
    execute(0o001, 0o1000, 't'),
  ].join('');
}

/** "root:www-data"; a number where the machine knows no name, and "?" where the record is corrupt. */
export function ownerInWords(
  uid: number | null,
  gid: number | null,
  names: { readonly users: ReadonlyMap<number, string>; readonly groups: ReadonlyMap<number, string> },
): string {
  const word = (id: number | null, known: ReadonlyMap<number, string>) =>
    id === null ? '?' : (known.get(id) ?? String(id));
  return `${word(uid, names.users)}:${word(gid, names.groups)}`;
}
