import { parse } from 'smol-toml';
import { findKeyLines } from '../../config/key-lines.ts';

/** The client.toml of a new client. */
export function newClientToml(destination: string, source: readonly string[]): string {
  return [
    '# What this machine sends where. Only the destination is needed; the other keys are in byteback-backup --help.',
    `destination = ${JSON.stringify(destination)}`,
    ...(source.length === 0 ? [] : [sourceLine(source)]),
    '',
  ].join('\n');
}

/**
 * The text with another destination, or other sources; all else of it stays as it is.
 * @param text valid TOML.
 */
export function changedClientToml(text: string, change: { destination?: string; source?: readonly string[] }): string {
  let changed = text;
  if (change.source !== undefined) changed = withLine(changed, 'source', sourceLine(change.source));
  if (change.destination !== undefined) {
    changed = withLine(changed, 'destination', `destination = ${JSON.stringify(change.destination)}`);
  }
  return changed;
}

/** JSON's strings are TOML's, but for U+007F, which a path that was checked does not hold. */
function sourceLine(source: readonly string[]): string {
  return `source = [${source.map((path) => JSON.stringify(path)).join(', ')}]`;
}

function withLine(text: string, key: string, line: string): string {
  const lines = text.split('\n');
  const document = parse(text);
  if (!(key in document)) {
    // Before everything else: below a table's heading it would be a key of that table.
    return [line, ...lines].join('\n');
  }
  const first = findKeyLines(text).lineOf([key]) - 1;
  // A value may go over several lines: it ends where the text up to there is valid again and means the same.
  for (let last = first; last < lines.length; last += 1) {
    const value = lines.slice(first, last + 1).join('\n');
    if (isWhole(value, key)) return [...lines.slice(0, first), line, ...lines.slice(last + 1)].join('\n');
  }
  return text;
}

function isWhole(text: string, key: string): boolean {
  try {
    return key in parse(text);
  } catch {
    // Not yet: the value goes on below.
    return false;
  }
}
