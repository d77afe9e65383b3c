import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Debian's machine-readable form wants every line of a text behind a space, and empty lines as a dot. */
function indented(text: string): string {
  const lines = text.trim().split(/\r?\n/);
  return lines.map((line) => (line.trim() === '' ? ' .' : ` ${line.trimEnd()}`)).join('\n');
}

const header = 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: byteback\n';

/** What a package carries of others, whose terms stand at the head of its source. */
const carried: Readonly<Record<string, { readonly what: string; readonly license: string; readonly source: string }>> =
  {
    'hash-wasm': { what: 'xxHash, compiled', license: 'BSD-2-Clause', source: 'src/xxhash128.c' },
  };

/** The comment that a file of C begins with, without its stars. */
async function headOf(file: string): Promise<string> {
  const comment = /^\/\*\n([\s\S]*?)\n? \*\//.exec(await readFile(file, 'utf8'))?.[1];
  if (comment === undefined) throw new Error(`${file} does not begin with its terms`);
  return comment.replaceAll(/^ \* ?/gm, '');
}

/** The licence text that a package brings. Packages without one are not bundled. */
async function licenceOf(directory: string): Promise<string> {
  const file = (await readdir(directory)).find((name) => /^licen[cs]e/i.test(name));
  if (file === undefined) throw new Error(`${directory} brings no licence text, so it cannot be packaged`);
  return readFile(join(directory, file), 'utf8');
}

/** The one long text that every Debian has already, and that Debian asks to name rather than to repeat. */
const apache = 'Apache-2.0\n On Debian systems the full text is in /usr/share/common-licenses/Apache-2.0.';

async function stanza(files: string, directory: string): Promise<string> {
  const { name, version, license } = JSON.parse(await readFile(join(directory, 'package.json'), 'utf8'));
  const ofItself = paragraph(files, `${name} ${version}, bundled`, name, license, await licenceOf(directory));
  const other = carried[name];
  if (other === undefined) return ofItself;
  const terms = await headOf(join(directory, other.source));
  return `${ofItself}\n${paragraph(files, `${other.what}, in ${name}`, 'xxHash', other.license, terms)}`;
}

function paragraph(files: string, comment: string, name: string, license: string, text: string): string {
  const owners = [...text.matchAll(/^\s*(?:Copyright|\(c\)).*\d{4}.*$/gim)].map((match) => match[0].trim());
  return (
    `Files: ${files}\n` +
    `Comment: ${comment}\n` +
    `Copyright: ${[...new Set(owners)].join('\n ') || `the authors of ${name}`}\n` +
    `License: ${license === 'Apache-2.0' ? apache : `${license}-of-${name.replaceAll(/[^a-z0-9.-]/gi, '-')}\n${indented(text)}`}\n`
  );
}

/** Our own licence, for the packages that bundle nothing. */
export async function copyrightOfOurs(root: string): Promise<string> {
  const ours = await readFile(join(root, 'LICENSE'), 'utf8');
  return `${header}\nFiles: *\nCopyright: 2026 the byteback contributors\nLicense: Expat\n${indented(ours)}\n`;
}

/** What /usr/share/doc/byteback/copyright says: our licence, and that of every package in the bundle. */
export async function copyrightOfByteback(root: string): Promise<string> {
  const bundled: string[] = JSON.parse(await readFile(join(root, 'lib/bundled.json'), 'utf8'));
  const stanzas: string[] = [];
  for (const directory of bundled)
    stanzas.push(await stanza('usr/lib/byteback/*.mjs usr/lib/byteback/parts/*', join(root, directory)));
  return [await copyrightOfOurs(root), ...stanzas].join('\n');
}

/** Node's own licence, which names all that it carries. */
export async function copyrightOfRuntime(root: string): Promise<string> {
  const text = await readFile(join(root, `node_modules/node-linux-${process.arch}/LICENSE`), 'utf8');
  return `This is Node.js, as released by the Node.js project (https://nodejs.org), unchanged.\n\n${text}`;
}
