import type { Explanation } from '../errors.ts';
import { colorsFor, type Terminal } from './colors.ts';
import { printable } from './printable.ts';

/**
 * How a failure looks: what happened, why, what to do.
 *
 *     byteback-backup: cannot reach byteback@vault
 *       why: ssh exited 255: Connection refused
 *       fix: check that sshd runs on vault, then run: ssh byteback@vault
 */
export function errorForm(program: string, { what, why, fix }: Explanation, stream: Terminal = process.stderr): string {
  const colors = colorsFor(stream);
  const lines = [`${program}: ${colors.red(oneParagraph(what, '  '))}`];
  if (why !== undefined && why.trim() !== '') lines.push(`  ${colors.dim('why:')} ${oneParagraph(why, '       ')}`);
  if (fix !== undefined && fix.trim() !== '') lines.push(`  ${colors.dim('fix:')} ${oneParagraph(fix, '       ')}`);
  return `${lines.join('\n')}\n`;
}

function oneParagraph(text: string, indent: string): string {
  return printable(text.trim()).replaceAll(/\n\s*/g, `\n${indent}`);
}
