import { spawn } from 'node:child_process';

/**
 * Starts a program that goes on alone: in a session of its own, with nothing of ours open, and nobody waits for it. That it cannot be
 * started is nobody's failure.
 */
export function startDetached([program, ...args]: readonly [string, ...string[]]): void {
  const child = spawn(program, args, { detached: true, stdio: 'ignore', cwd: '/' });
  child.on('error', () => undefined);
  child.unref();
}
