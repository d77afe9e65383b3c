import { run } from './run.ts';

/**
 * Writes one line to the machine's log of who may do what (auth). It fails nothing: a container may have no log at all.
 * @param text printable; what came from a client is escaped by the caller.
 */
export async function logSecurityEvent(text: string): Promise<void> {
  try {
    await run(['logger', '--tag', 'byteback', '--priority', 'auth.notice', '--', text], { timeoutMs: 5000 });
  } catch {
    // No logger or nobody who listens: what was done is in the registry all the same.
  }
}
