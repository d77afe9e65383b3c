import { spawn } from 'node:child_process';

/**
 * Starts a program that goes on alone: in a session of its own, with nothing of ours open, and nobody waits for it. That it cannot be
 * started is nobody's failure.
 * @param input what it gets on its standard input, which must be short
 */
export function startDetached([program, ...args]: readonly [string, ...string[]], input?: string): void {
  const stdin = input === undefined ? 'ignore' : 'pipe';
  const child = spawn(program, args, { detached: true, stdio: [stdin, 'ignore', 'ignore'], cwd: '/' });
  child.on('error', () => undefined);
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(input);
  child.unref();
}
