/** What can hide, or change how the text around it is shown: controls, bidi marks, lone surrogates, what is not assigned. */
const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu;

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
};

/** Text in which whatever is not printable is shown as its bytes. @param kept stays as it is */
export function visibleText(text: string, kept = ''): string {
  return text.replaceAll(unsafe, (character) =>
    kept.includes(character)
      ? character
      : [...Buffer.from(character)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join(''),
  );
}

/** Text that is only text wherever it stands in HTML: in an element or in a quoted attribute. */
export function asHtmlText(text: string): string {
  return text.replaceAll(/[&<>"'`]/g, (character) => entities[character] ?? '');
}
