import { nearest } from '../config/nearest.ts';
import { exitCodes } from '../errors.ts';
import { errorForm } from '../output/error-form.ts';
import { type CommandEntry, commands, topics } from './commands.ts';
import { rootHelp, topicHelp } from './help.ts';

/** No command was named, or none that exists. */
export function withoutCommand(words: readonly string[]): number {
  const [first = '--help', second = '--help'] = words;
  const isTopic = Object.hasOwn(topics, first);
  const wrong = isTopic ? second : first;
  if (wrong === '--help' || wrong === '-h') {
    process.stdout.write(isTopic ? topicHelp(first) : rootHelp());
    return exitCodes.ok;
  }
  const typed = isTopic ? `${first} ${second}` : first;
  const guess = nearest(typed, [...commands.map((entry: CommandEntry) => entry.id), ...Object.keys(topics)]);
  process.stderr.write(
    errorForm('byteback', {
      what: typed.startsWith('-') ? `unknown option ${typed}` : `no command ${JSON.stringify(typed)}`,
      ...(guess === undefined ? {} : { why: `did you mean: byteback ${guess}` }),
      fix: isTopic ? `byteback ${first} --help` : 'byteback --help',
    }),
  );
  return exitCodes.usage;
}
