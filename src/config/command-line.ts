import * as v from 'valibot';
import { LineOfText } from './values.ts';

/** A program, by its absolute path, and its arguments. */
export type CommandWords = readonly [string, ...string[]];

/** A command line in the configuration; no shell reads it. */
export const CommandLine = v.pipe(
  LineOfText,
  v.rawTransform(({ dataset, addIssue, NEVER }): CommandWords => {
    const [program, ...args] = splitWords(dataset.value) ?? [];
    const shell = shellWord(dataset.value);
    if (shell !== undefined) {
      addIssue({
        message:
          `no shell reads it, so that ${shell} would be an argument like any other; ` +
          `write "/bin/sh -c '...'" with the line between the single quotes, or name a script; what is meant as it stands, quote`,
      });
      return NEVER;
    }
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

/** What only a shell understands, at a place outside of quotes; `^` stands for the beginning of a word. */
const unquoted = /^(?:[<>|&;()`*]|\$(?=[A-Za-z_{(0-9?@#!$*-])|\{[^{}\s]*(?:,|\.\.)[^{}\s]*\})/;
const unquotedAtStart = /^(?:~|#)/;
/** The same between double quotes. */
const inDouble = /^(?:`|\$(?=[A-Za-z_{(]))/;

/**
 * The first thing in a command line that only a shell understands, or undefined: redirections, pipes, `&&`, `;`, substitutions,
 * variables, patterns, `~`, assignments in front. What stands in single quotes, or behind a backslash, is meant as it is; so is what
 * stands in double quotes behind `-c`, which is for a program that reads a command itself.
 */
export function shellWord(line: string): string | undefined {
  const assignment = /^\s*[A-Za-z_]\w*=\S*/.exec(line)?.[0];
  if (assignment !== undefined) return assignment.trim();
  let quote = '';
  let atStart = true;
  for (let at = 0; at < line.length; at += 1) {
    const char = line.charAt(at);
    const rest = line.slice(at);
    if (char === '\\' && quote !== "'") at += 1;
    else if (quote !== '') {
      if (char === quote) quote = '';
      else if (quote === '"' && inDouble.test(rest) && !/\s-[a-z]*c\s/.test(line.slice(0, at))) return wordAt(rest);
    } else if (char === '"' || char === "'") quote = char;
    else if (unquoted.test(rest) || (atStart && unquotedAtStart.test(rest))) return wordAt(rest);
    atStart = quote === '' && (char === ' ' || char === '\t');
  }
  return undefined;
}

function wordAt(rest: string): string {
  return /^[<>|&;]+|^\S+/.exec(rest)?.[0].slice(0, 40) ?? rest.charAt(0);
}
