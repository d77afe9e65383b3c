/**
 * What man pages are written in: the few macros of man(7) that both groff and mandoc know. All of it is ASCII: what is
 * not is written by its code point, so that no page depends on how it is read.
 */

/** A text in which nothing is a command to the formatter. */
export function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replaceAll('`', '\\(ga')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replaceAll(/[^\u0000-\u007e]/gu, (sign) => {
      const code = (sign.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
      return `\\[u${code}]`;
    });
}

/** A line of text: one that begins as a command would is kept from being one. */
export function line(text: string): string {
  return /^[.']/.test(text) ? `\\&${text}` : text;
}

export const bold = (text: string) => `\\fB${escaped(text)}\\fR`;

/** Running text; lines end after sentences, as is the custom of roff, so that changes are easy to see. */
export function prose(text: string): string {
  return escaped(text.replaceAll(/\s+/g, ' ').trim())
    .replaceAll(/([.!?]) (?=[A-Z])/g, '$1\n')
    .split('\n')
    .map(line)
    .join('\n');
}

export const heading = (title: string) => `.SH ${title.includes(' ') ? `"${title}"` : title}\n`;
export const paragraph = (text: string) => `.PP\n${text}\n`;
/** What is named, and below it, indented, what it is. */
export const entry = (name: string, text: string) => `.TP\n${line(name)}\n${text}\n`;
/** Lines as they are typed or printed. */
export const literal = (text: string) =>
  `.PP\n.RS 4\n.nf\n${text
    .split('\n')
    .map((each) => (each === '' ? '\\&' : line(escaped(each))))
    .join('\n')}\n.fi\n.RE\n`;

/** The first lines of a page. @param date of the sources, in seconds. */
export function title(name: string, section: number, about: string, version: string, date: number): string {
  const day = new Date(date * 1000).toISOString().slice(0, 10);
  return `.\\" Made by npm run package from the command itself; change it there.\n.TH ${name.toUpperCase()} ${section} ${day} "byteback ${version}" "${about}"\n.nh\n.ad l\n`;
}

const columns = 79;

/** A line of source in lines that can be read; roff fills them anyway. */
function folded(text: string): string {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= columns) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.map((each, index) => (index === 0 ? each : line(each))).join('\n');
}

/** The whole page, as neat as `mandoc -T lint` asks for. */
export function pageOf(parts: readonly string[]): string {
  const text = parts.join('').replaceAll(/^(\.S[HS] .*\n)\.PP\n(?!\.RS)/gm, '$1');
  let literally = false;
  return text
    .split('\n')
    .filter((each, index, all) => each !== '' || index === all.length - 1)
    .map((each) => {
      if (each === '.nf' || each === '.fi') literally = each === '.nf';
      return literally || each.startsWith('.') ? each : folded(each);
    })
    .join('\n');
}
