import { type RunOptions, start } from './run.ts';

/** A program that answers each line with a line: what it needs is loaded once, ahead of the first question. */
export interface Dialogue {
  /** False when it has ended, was given up, or waits for nothing more: another one is needed then. */
  readonly isOpen: boolean;
  /**
   * Sends a line and waits for the one that answers it.
   * @param options.last nothing more will be asked: with the line the program gets the end of its input
   * @returns undefined when the program ended without an answer.
   */
  ask(line: string, options: { readonly timeoutMs: number; readonly last?: boolean }): Promise<Buffer | undefined>;
  /** Nothing more will be asked. */
  end(): void;
  /** How it ended, and the end of what it said on standard error; never rejects. */
  readonly ended: Promise<{ readonly exitCode: number; readonly stderr: string }>;
}

const keptErrorBytes = 16_384;
const newline = 0x0a;

/**
 * Starts a program that is talked to in lines, one at a time.
 * @param options.idleMs after so long without a question it is given up: what waits takes memory
 * @param options.maxLineBytes a longer answer is none, and ends the program
 */
export function openDialogue(
  argv: readonly [string, ...string[]],
  options: { readonly idleMs: number; readonly maxLineBytes: number } & Pick<RunOptions, 'signal' | 'cwd'>,
): Dialogue {
  const { idleMs, maxLineBytes, ...rest } = options;
  const program = start(argv, { stdin: 'pipe', stdout: 'pipe', stderr: 'pipe', ...rest });
  let isOpen = true;
  let stderr = '';
  let chunks: Buffer[] = [];
  let length = 0;
  let answered: ((line: Buffer | undefined) => void) | undefined;
  const answer = (line: Buffer | undefined) => {
    const tell = answered;
    answered = undefined;
    tell?.(line);
  };
  const end = () => {
    isOpen = false;
    clearTimeout(idle);
    program.stdin?.end();
  };
  let idle: NodeJS.Timeout | undefined;
  const waitForQuestion = () => {
    idle = setTimeout(end, idleMs);
    idle.unref();
  };
  waitForQuestion();
  // A pipe that breaks says no more than the end of the program does.
  program.stdin?.on('error', () => undefined);
  program.stderr?.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString('utf8')).slice(-keptErrorBytes);
  });
  program.stdout?.on('data', (chunk: Buffer) => {
    const at = chunk.indexOf(newline);
    length += chunk.length;
    if (at < 0 && length > maxLineBytes) {
      program.kill('SIGTERM');
      return;
    }
    chunks.push(at < 0 ? chunk : chunk.subarray(0, at));
    if (at < 0) return;
    const line = Buffer.concat(chunks);
    chunks = [];
    length = 0;
    // Nothing is said without a question: what would follow the line is no answer to the next one.
    answer(line);
  });
  const ended = program.ended.then(({ exitCode }) => {
    end();
    answer(undefined);
    return { exitCode, stderr };
  });
  return {
    get isOpen() {
      return isOpen;
    },
    end,
    ended,
    ask(line, { timeoutMs, last = false }) {
      if (!isOpen || answered !== undefined) return Promise.resolve(undefined);
      clearTimeout(idle);
      const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
      const limit = setTimeout(() => {
        program.kill('SIGTERM');
        // What is another user's cannot be killed.
        answer(undefined);
        end();
      }, timeoutMs);
      answered = (answerLine) => {
        clearTimeout(limit);
        if (isOpen) waitForQuestion();
        resolve(answerLine);
      };
      program.stdin?.write(`${line}\n`);
      if (last) end();
      return promise;
    },
  };
}
