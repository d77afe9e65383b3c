/** What can disturb a terminal, hide, or change how the text around it is shown; a line end and a tab are harmless. */
const unsafe = /(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu;

/**
 * Text that is safe on a terminal: what is not printable becomes `\xNN` for each of its bytes. File names are escaped
 * before they get here (`escapeName`); this is the last wall for all other text, such as what ssh or a server said.
 */
export function printable(text: string): string {
  return text.replaceAll(unsafe, (character) =>
    [...Buffer.from(character)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join(''),
  );
}
