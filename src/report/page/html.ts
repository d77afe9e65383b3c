import { asHtmlText, visibleText } from '../escape.ts';

/** A piece of HTML that is whole and safe: made by `html` only. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Value = string | number | Html | null | readonly Html[];

/** Text that is only text wherever it stands, with its line breaks. */
export function escapeText(text: string): string {
  return asHtmlText(visibleText(text, '\n\t'));
}

/** HTML with everything that is put in escaped, unless it is HTML itself. Attributes must be in double quotes. */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Html {
  return new Html(parts.map((part, at) => part + (at < values.length ? asHtml(values[at] ?? null) : '')).join(''));
}

function asHtml(value: Value): string {
  if (value === null) return '';
  if (value instanceof Html) return value.text;
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') return escapeText(value);
  return value.map(({ text }) => text).join('');
}
