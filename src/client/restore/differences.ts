const attributes: Readonly<Record<string, string>> = {
  c: 'content',
  s: 'size',
  t: 'time',
  T: 'time',
  p: 'mode',
  o: 'owner',
  g: 'group',
  a: 'ACL',
  x: 'extended attributes',
};

/**
 * rsync 3.2 to 3.5 calls the extended attributes of a file different when the sender keeps some of them under
 * --fake-super and the file has `user.` ones besides: the sender's list is then not in the order in which the receiver
 * walks through it. Such a difference alone says nothing; an attribute that cannot be set is an error of the pull itself.
 */
export function differsOnlyInXattrs(flags: string): boolean {
  return /^\.[^.]\.+x\.*$/.test(flags);
}

/** What rsync's letters say, for people. */
export function differenceInWords(flags: string): string {
  if (flags.includes('+++')) return 'it is missing after the restore';
  const words = [...new Set([...flags.slice(2)].flatMap((letter) => attributes[letter] ?? []))];
  return `it differs from the snapshot: ${words.join(', ') || 'its kind'}`;
}
