import { BytebackError } from '../errors.ts';

/** No secret that byteback takes is longer, in bytes. */
const maxSecretBytes = 4096;

/**
 * A secret that a person types or pastes, or that standard input holds: its first line. Never a word of the command line, which every
 * user of the machine can read in /proc. On a terminal nothing of it is shown.
 * @returns the empty text when nothing comes.
 */
export async function askSecret(question: string, signal: AbortSignal): Promise<string> {
  const { stdin } = process;
  const isTerminal = stdin.isTTY === true;
  if (isTerminal) {
    // Before the question: what is pasted as soon as that appears would be echoed else.
    stdin.setRawMode(true);
    process.stderr.write(question);
  }
  let text = '';
  const giveUp = () => stdin.destroy();
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    stdin.setEncoding('utf8');
    for await (const chunk of stdin.iterator({ destroyOnReturn: false }) as AsyncIterable<string>) {
      text = isTerminal ? typed(text, chunk) : text + chunk;
      if (/[\r\n\u0004]/.test(text) || text.length > maxSecretBytes) break;
    }
    signal.throwIfAborted();
  } finally {
    signal.removeEventListener('abort', giveUp);
    if (isTerminal) {
      stdin.setRawMode(false);
      process.stderr.write('\n');
    }
    stdin.pause();
  }
  const [line = ''] = text.split(/[\r\n\u0004]/);
  return line.trim();
}

/** What a terminal in raw mode sends: the keys that end or correct a line are ours to see to. */
function typed(before: string, chunk: string): string {
  let text = before;
  for (const character of chunk) {
    if (character === '\u0003') throw new BytebackError('interrupted', { what: 'interrupted' });
    if (character === '\u007f' || character === '\b') text = text.slice(0, -1);
    else text += character;
  }
  return text;
}
