import * as v from 'valibot';
import { LineOfText } from './values.ts';

/** A program, by its absolute path, and its arguments. */
export type CommandWords = readonly [string, ...string[]];

/** A command line in the configuration; no shell reads it. */
export const CommandLine = v.pipe(
  LineOfText,
  v.rawTransform(({ dataset, addIssue, NEVER }): CommandWords => {
    const [program, ...args] = splitWords(dataset.value) ?? [];
    if (program?.startsWith('/')) return [program, ...args];
    addIssue({ message: 'it must be the absolute path of a program, and its arguments' });
    return NEVER;
  }),
);

/** One command line or a list of them; always a list. */
export const CommandLines = v.pipe(
  v.union([v.string(), v.array(v.string())]),
  v.transform((value) => (typeof value === 'string' ? [value] : value)),
  v.array(CommandLine),
);

/**
 * The words of a command line: separated by spaces, kept together by quotes; a backslash keeps the character behind it.
 * No shell: no variables, no patterns. Undefined when a quote is not closed.
 */
export function splitWords(line: string): string[] | undefined {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let at = 0; at < line.length; at += 1) {
    const char = line.charAt(at);
    if (char === '\\' && quote !== "'") {
      at += 1;
      if (at === line.length) return undefined;
      word = (word ?? '') + line.charAt(at);
    } else if (quote !== '') {
      if (char === quote) quote = '';
      else word = (word ?? '') + char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (char === ' ' || char === '\t') {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? '') + char;
    }
  }
  if (quote !== '') return undefined;
  return word === undefined ? words : [...words, word];
}
