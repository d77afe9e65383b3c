import { spawn } from 'node:child_process';

/** How a program is called in a test. */
export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: string | Uint8Array;
  /** The program is killed after this long, and the test fails. Default 100,000 ms. */
  readonly timeoutMs?: number;
}

/** What a program printed and how it ended. */
export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  /** 128 + n when signal n ended it. */
  readonly exitCode: number;
  /** stdout as bytes. */
  readonly bytes: Buffer;
}

const signalNumbers: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGPIPE: 13, SIGTERM: 15 };

/**
 * Runs a program to its end, whatever its exit code. Not byteback's own `run`: a test should not depend on what it tests.
 * @throws Error when it cannot be started or takes too long.
 */
export function command(argv: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const [program = '', ...args] = argv;
    const child = spawn(program, args, {
      env: { ...process.env, LC_ALL: 'C.UTF-8', ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    // A program may end without reading its input.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${argv.join(' ')} took too long; it printed:\n${Buffer.concat([...stdout, ...stderr])}`));
    }, options.timeoutMs ?? 100_000);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      const bytes = Buffer.concat(stdout);
      resolve({
        stdout: bytes.toString(),
        stderr: Buffer.concat(stderr).toString(),
        exitCode: code ?? 128 + (signalNumbers[signal ?? ''] ?? 0),
        bytes,
      });
    });
  });
}

/** Like `command`, for what has to work. @throws Error with all that it printed when it ends with anything but 0. */
export async function must(argv: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
  const outcome = await command(argv, options);
  if (outcome.exitCode !== 0) {
    throw new Error(`${argv.join(' ')} exited ${outcome.exitCode}\n${outcome.stdout}\n${outcome.stderr}`);
  }
  return outcome;
}
