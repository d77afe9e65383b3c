import { asHtmlText, visibleText } from './escape.ts';
import type { Block, Item, MailContent, MailDocument } from './mail-document.ts';

/** Nothing longer stands in a mail: a client could send names of many kilobytes. */
const longestText = 1000;

/** Text of one line that is safe in a mail's head and body: whatever is not printable is shown as its bytes. */
export function plain(text: string): string {
  const short = text.length > longestText ? `${text.slice(0, longestText - 1)}…` : text;
  return visibleText(short);
}

/** The same as HTML text or as the value of an attribute. */
export function escapeHtml(text: string): string {
  return asHtmlText(plain(text));
}

/** A subject stays one line of a list. */
const longestSubject = 140;

/** A mail of a document. */
export function renderMail(subject: string, document: MailDocument): MailContent {
  const line = plain(subject);
  const short = line.length > longestSubject ? `${line.slice(0, longestSubject - 1)}…` : line;
  return { subject: short, text: renderText(document), html: renderHtml(document) };
}

// ---- text ----------------------------------------------------------------------------------------------------------

const width = 76;

/** Breaks a text at spaces; a word that is longer than a line stays whole, so that it can be copied. */
function wrapped(text: string, indent: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of plain(text).split(' ')) {
    if (line !== '' && indent.length + line.length + 1 + word.length > width) {
      lines.push(indent + line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, indent + line];
}

/** The part for programs and people that read plain text: 76 columns. */
export function renderText({ title, subtitle, blocks, footer }: MailDocument): string {
  const parts = [
    [...wrapped(title, ''), ...wrapped(subtitle, '')],
    ...blocks.map(blockText),
    // What follows this line is no part of the message: mail programs know it.
    ['-- ', ...wrapped(footer, '')],
  ];
  return `${parts.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

function blockText(block: Block): string[] {
  switch (block.kind) {
    case 'text':
      return wrapped(block.text, '');
    case 'facts': {
      const labelWidth = Math.max(...block.rows.map(([label]) => label.length));
      return block.rows.map(([label, value]) => `${label.padEnd(labelWidth)}  ${plain(value)}`);
    }
    case 'items':
      return [...wrapped(block.title, ''), ...block.items.flatMap(itemText)];
    case 'names':
      return [
        ...wrapped(block.title, ''),
        ...block.names.map((name) => `  ${plain(name)}`),
        ...(block.more > 0 ? [`  and ${block.more} more`] : []),
      ];
  }
}

function itemText({ label, what, why, fix }: Item): string[] {
  const lines = [...(label === undefined ? [] : wrapped(label, '    ')), ...wrapped(what, '    ')];
  return [
    `  * ${lines[0]?.slice(4)}`,
    ...lines.slice(1),
    ...(why === undefined ? [] : wrapped(`why: ${why}`, '    ')),
    ...(fix === undefined ? [] : wrapped(`fix: ${fix}`, '    ')),
  ];
}

// ---- HTML ----------------------------------------------------------------------------------------------------------

const tones = {
  good: { mark: '#1a7f4b', dark: '#4cc38a', word: 'all is well' },
  attention: { mark: '#9a6700', dark: '#e0b04a', word: 'to look at' },
  bad: { mark: '#b42318', dark: '#ff8a7a', word: 'something is wrong' },
} as const;

const font = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif";
const mono = "font-family:ui-monospace,'SFMono-Regular',Menlo,Consolas,'Liberation Mono',monospace";

const rule = 'border-bottom:1px solid #eceef1';

/** Dark colours for mail programs that ask for them; the others see what is written at each element. */
function darkRules(mark: string): string {
  return [
    ':root{color-scheme:light dark;supported-color-schemes:light dark}',
    '@media (prefers-color-scheme:dark){',
    '.bb-page{background:#14171a!important}',
    '.bb-card{background:#1e2226!important;border-color:#343a40!important}',
    '.bb-ink{color:#e6e8ea!important}',
    '.bb-soft{color:#a3abb3!important}',
    '.bb-line{border-color:#343a40!important}',
    '.bb-code{background:#2a3036!important;color:#dfe3e6!important}',
    `.bb-mark{color:${mark}!important}`,
    `.bb-bar{background:${mark}!important}`,
    '}',
  ].join('');
}

/** The part for those who like it set: no pictures, no links, nothing that is loaded from anywhere. */
export function renderHtml({ tone, title, subtitle, blocks, footer }: MailDocument): string {
  const { mark, dark, word } = tones[tone];
  return [
    '<!doctype html><html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width,initial-scale=1">',
    '<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">',
    `<title>${escapeHtml(title)}</title><style>${darkRules(dark)}</style></head>`,
    `<body class="bb-page" style="margin:0;padding:0;background:#f3f4f6;${font}">`,
    '<table role="presentation" class="bb-page" width="100%" cellpadding="0" cellspacing="0" style="background:#f3f4f6">',
    '<tr><td align="center" style="padding:24px 12px">',
    '<table role="presentation" class="bb-card" width="100%" cellpadding="0" cellspacing="0" ',
    'style="max-width:640px;background:#ffffff;border:1px solid #dfe2e6;border-radius:8px;overflow:hidden;text-align:left">',
    `<tr><td class="bb-bar" style="height:4px;line-height:4px;font-size:0;background:${mark}">&nbsp;</td></tr>`,
    '<tr><td style="padding:22px 26px 6px">',
    `<div class="bb-mark" style="font-size:13px;font-weight:600;color:${mark}">${word}</div>`,
    `<h1 class="bb-ink" style="margin:4px 0 2px;font-size:20px;line-height:1.35;font-weight:600;color:#1b1f23;overflow-wrap:anywhere">${escapeHtml(title)}</h1>`,
    `<div class="bb-soft" style="font-size:14px;line-height:1.5;color:#59636e;overflow-wrap:anywhere">${escapeHtml(subtitle)}</div>`,
    '</td></tr>',
    ...blocks.map((block) => `<tr><td style="padding:12px 26px">${blockHtml(block)}</td></tr>`),
    '<tr><td style="padding:8px 26px 20px">',
    `<div class="bb-soft bb-line" style="border-top:1px solid #dfe2e6;padding-top:12px;font-size:12px;line-height:1.5;color:#59636e">${escapeHtml(footer)}</div>`,
    '</td></tr></table></td></tr></table></body></html>',
    '\n',
  ].join('\n');
}

function heading(text: string): string {
  return `<div class="bb-ink" style="margin:0 0 6px;font-size:14px;font-weight:600;color:#1b1f23">${escapeHtml(text)}</div>`;
}

function blockHtml(block: Block): string {
  switch (block.kind) {
    case 'text':
      return `<p class="bb-ink" style="margin:0;font-size:14px;line-height:1.55;color:#1b1f23;overflow-wrap:anywhere">${escapeHtml(block.text)}</p>`;
    case 'facts':
      return [
        '<table width="100%" cellpadding="0" cellspacing="0" style="border-collapse:collapse">',
        ...block.rows.map(([label, value], index) =>
          [
            `<tr><th class="bb-soft bb-line" scope="row" style="width:36%;padding:6px 12px 6px 0;${index + 1 === block.rows.length ? '' : rule};font-size:13px;font-weight:400;color:#59636e;text-align:left;vertical-align:top">${escapeHtml(label)}</th>`,
            `<td class="bb-ink bb-line" style="padding:6px 0;${index + 1 === block.rows.length ? '' : rule};font-size:14px;color:#1b1f23;font-variant-numeric:tabular-nums;overflow-wrap:anywhere">${escapeHtml(value)}</td></tr>`,
          ].join(''),
        ),
        '</table>',
      ].join('\n');
    case 'items':
      return [
        heading(block.title),
        ...block.items.map((item, index) => itemHtml(item, index + 1 === block.items.length)),
      ].join('\n');
    case 'names':
      return [
        heading(block.title),
        `<div class="bb-code" style="padding:8px 12px;border-radius:6px;background:#f3f4f6;font-size:13px;line-height:1.6;color:#1b1f23;${mono};overflow-wrap:anywhere">`,
        block.names.map(escapeHtml).join('<br>\n'),
        block.more > 0 ? `<br>\n<span class="bb-soft" style="color:#59636e">and ${block.more} more</span>` : '',
        '</div>',
      ].join('');
  }
}

function itemHtml({ label, what, why, fix }: Item, isLast: boolean): string {
  const soft = (text: string) =>
    `<div class="bb-soft" style="font-size:13px;line-height:1.5;color:#59636e;overflow-wrap:anywhere">${text}</div>`;
  return [
    `<div class="bb-line" style="padding:8px 0;${isLast ? '' : rule}">`,
    ...(label === undefined ? [] : [soft(escapeHtml(label))]),
    `<div class="bb-ink" style="font-size:14px;line-height:1.5;color:#1b1f23;overflow-wrap:anywhere">${escapeHtml(what)}</div>`,
    ...(why === undefined ? [] : [soft(escapeHtml(why))]),
    ...(fix === undefined
      ? []
      : [
          `<div class="bb-code" style="display:inline-block;margin-top:6px;padding:4px 10px;border-radius:6px;background:#f3f4f6;font-size:13px;line-height:1.5;color:#1b1f23;${mono};overflow-wrap:anywhere">${escapeHtml(fix)}</div>`,
        ]),
    '</div>',
  ].join('');
}
