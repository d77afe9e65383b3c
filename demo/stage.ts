/** What the demo is told with: each command as a person would type it, and what it shows. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { styleText } from 'node:util';

/** A word as a shell would take it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

export function title(text: string): void {
  console.log(`\n${styleText('bold', text)}`);
}

export function say(text: string): void {
  console.log(text);
}

/** Shows the command, runs it and returns what it printed. @throws Error when it ends with anything but 0. */
export function type(argv: readonly string[]): Promise<string> {
  console.log(`\n${styleText('green', '$')} ${styleText('bold', argv.map(quoted).join(' '))}`);
  return run(argv);
}

/** Runs a command, shows what it prints, and returns its standard output. @throws Error when it ends with anything but 0. */
export async function run(argv: readonly string[]): Promise<string> {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk;
    process.stdout.write(chunk);
  });
  const [code, signal] = await once(child, 'close');
  if (code !== 0) throw new Error(`${argv.map(quoted).join(' ')} ended with ${signal ?? code}`);
  return stdout;
}
