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

/** How a command is shown. */
export interface Shown {
  /** Its output is not shown, only returned. */
  readonly quiet?: boolean;
}

/**
 * Shows the command, runs it, shows what it prints and returns it.
 * @throws Error when it ends with anything but 0.
 */
export async function type(argv: readonly string[], shown: Shown = {}): Promise<string> {
  console.log(`\n${styleText('green', '$')} ${styleText('bold', argv.map(quoted).join(' '))}`);
  const [program = '', ...args] = argv;
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let all = '';
  const show = (chunk: Buffer, to: NodeJS.WriteStream) => {
    all += chunk;
    if (shown.quiet !== true) to.write(chunk);
  };
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk;
    show(chunk, process.stdout);
  });
  child.stderr.on('data', (chunk: Buffer) => show(chunk, process.stderr));
  const [code, signal] = await once(child, 'close');
  if (code !== 0) {
    if (shown.quiet === true) process.stderr.write(all);
    throw new Error(`${argv.map(quoted).join(' ')} ended with ${signal ?? code}`);
  }
  return stdout;
}
