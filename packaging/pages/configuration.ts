/**
 * The pages of client.toml and server.toml, made from docs/configuration.md, so that every key is described once.
 * Of Markdown it knows what that file uses; what it does not know is an error, not a blot on the page.
 */
import { version } from '../../src/version.ts';
import { bold, entry, escaped, heading, line, literal, pageOf, paragraph, title } from './roff.ts';

export type Side = 'client' | 'server';

/** Text with `code`, **bold** and [links](…). */
function inline(text: string): string {
  const plain = text.replaceAll(/\[([^\]]*)\]\(([^)]*)\)/g, (_, words: string, target: string) =>
    /^https?:/.test(target) ? `${words} (${target})` : words,
  );
  return plain
    .split(/(`[^`]+`|\*\*[^*]+\*\*)/)
    .map((part) => {
      if (part.startsWith('`')) return bold(part.slice(1, -1));
      if (part.startsWith('**')) return bold(part.slice(2, -2));
      return escaped(part);
    })
    .join('')
    .trim();
}

const cellsOf = (row: string) =>
  row
    .replace(/^\|/, '')
    .replace(/\|\s*$/, '')
    // A bar in a cell is written `\|`.
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll('\\|', '|'));

function table(rows: readonly string[]): string {
  const [head = '', , ...body] = rows;
  const titles = cellsOf(head);
  return body
    .map((row) => {
      const cells = cellsOf(row);
      const [name = '', ...rest] = cells;
      const texts = rest.flatMap((cell, index) => {
        if (cell === '') return [];
        const of = titles[index + 1] ?? '';
        return [of === '' || index === rest.length - 1 ? inline(cell) : `${escaped(of)}: ${inline(cell)}`];
      });
      return entry(inline(name), texts.map(line).join('\n.br\n') || '\\&');
    })
    .join('');
}

/** Markdown as roff. @param text blocks without the title of the page. */
export function fromMarkdown(text: string): string {
  const made: string[] = [];
  const lines = text.split('\n');
  for (let at = 0; at < lines.length; ) {
    const from = at;
    const first = lines[at] ?? '';
    const until = (stop: (each: string) => boolean) => {
      while (at < lines.length && !stop(lines[at] ?? '')) at += 1;
      return lines.slice(from, at);
    };
    if (first.trim() === '') at += 1;
    else if (first.startsWith('```')) {
      at += 1;
      until((each) => each.startsWith('```'));
      made.push(literal(lines.slice(from + 1, at).join('\n')));
      at += 1;
    } else if (first.startsWith('#')) {
      at += 1;
      const words = first.replace(/^#+ /, '').replaceAll('`', '');
      made.push(first.startsWith('## ') ? heading(escaped(words.toUpperCase())) : `.SS ${escaped(words)}\n`);
    } else if (first.startsWith('|')) made.push(table(until((each) => !each.startsWith('|'))));
    else if (first.startsWith('- ')) {
      const items = until((each) => each.trim() === '')
        .join('\n')
        .split(/\n- |^- /);
      for (const item of items.filter((each) => each !== ''))
        made.push(`.IP \\(bu 2\n${line(inline(item.replaceAll(/\n\s*/g, ' ')))}\n`);
    } else made.push(paragraph(line(inline(until((each) => each.trim() === '' || /^[|#]|^```/.test(each)).join(' ')))));
  }
  return made.join('');
}

/** The parts of the file that speak of a side; those that name neither are of both. */
function partsOf(markdown: string, side: Side): string {
  const [intro = '', ...sections] = markdown.replace(/^# .*\n/, '').split(/^(?=## )/m);
  const other = side === 'client' ? 'server' : 'client';
  const ours = sections.filter((section) => {
    const head = section.slice(0, section.indexOf('\n'));
    return head.includes(side) || !head.includes(other);
  });
  return [
    intro.replace('Two files in TOML, few keys.', 'A file in TOML, with few keys.'),
    ...ours.map((section) => section.replace(/^## On the (?:client|server).*$/m, '## KEYS')),
  ].join('\n');
}

/** byteback-client.toml(5) or byteback-server.toml(5). @param date of the sources, in seconds. */
export function configurationPage(markdown: string, side: Side, date: number): string {
  const name = `byteback-${side}.toml`;
  const path = `/etc/byteback/${side}.toml`;
  return pageOf([
    title(name, 5, 'byteback', version, date),
    heading('NAME'),
    `${escaped(name)} \\- settings of a byteback ${side}\n`,
    heading('SYNOPSIS'),
    `${bold(path)}\n`,
    heading('DESCRIPTION'),
    fromMarkdown(partsOf(markdown, side)),
    heading('FILES'),
    entry(bold(path), escaped('this file')),
    heading('SEE ALSO'),
    side === 'client'
      ? `${bold('byteback-setup-client')}(1),\n${bold('byteback-backup')}(1),\n${bold('byteback-server.toml')}(5)\n`
      : `${bold('byteback-setup-server')}(1),\n${bold('byteback-prune')}(1),\n${bold('byteback-client.toml')}(5)\n`,
  ]);
}
