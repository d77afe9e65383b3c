import { exitCodes } from '../errors.ts';
import { version } from '../version.ts';
import { findCommand } from './commands.ts';

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // Whoever read what we print has seen enough of it (`| head`); that is no failure of ours.
    if (error.code !== 'EPIPE') throw error;
  });
}

/**
 * The entry of every executable but the three that sshd and sudo start.
 *
 * BYTEBACK_CALLED_AS is the name of the stub that was typed: `byteback`, or `byteback-backup`, which puts its command's
 * name first among the arguments; so both forms come in as the same words, and messages and help name what was typed.
 */
const calledAs = process.env.BYTEBACK_CALLED_AS || 'byteback';
delete process.env.BYTEBACK_CALLED_AS;
// Ours, not that of the programs and hooks that are started.
delete process.env.NODE_COMPILE_CACHE;
process.exitCode = await main(process.argv.slice(2), calledAs);

async function main(words: readonly string[], calledAs: string): Promise<number> {
  const isPlainForm = calledAs === 'byteback';
  const [first = '--help'] = isPlainForm ? words : words.slice(1);
  // Answered before anything is loaded.
  if (first === '--version') {
    process.stdout.write(`byteback ${version}\n`);
    return exitCodes.ok;
  }
  const asked = isPlainForm && first === 'help' ? [...words.slice(1), '--help'] : words;
  const found = findCommand(asked);
  // One import for both: each file that is loaded costs half a millisecond.
  const { runCommand, withoutCommand } = await import('./run.ts');
  if (found === undefined) return withoutCommand(asked);
  return runCommand(found.entry, found.rest, isPlainForm ? `byteback ${found.entry.id}` : calledAs);
}
