import { chmod, readFile } from 'node:fs/promises';
import { BytebackError } from '../../errors.ts';
import type { ClientName } from '../../protocol/names.ts';
import { isMissing, writeFileAtomically } from '../../system/files.ts';
import type { Log } from '../../system/log.ts';
import { run } from '../../system/run.ts';

/** This machine's key. */
export interface ClientKey {
  /** The line of the `.pub` file. */
  readonly publicKey: string;
  /** False when it was there before. */
  readonly made: boolean;
}

/**
 * Makes the key at `path` unless there is one; it never replaces one, because the server knows this machine by it.
 * @throws BytebackError (usage) when what lies there is no key that works without a passphrase.
 */
export async function ensureKey(path: string, name: ClientName, log: Log): Promise<ClientKey> {
  const made = !(await exists(path));
  if (made) {
    log.step(`making this machine's key: ${path}`);
    await run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', `byteback client ${name}`, '-f', path]);
  }
  await chmod(path, 0o600);
  // Asked of the private key itself: the .pub file may be lost, or another key's.
  const { stdout, stderr, exitCode } = await run(['ssh-keygen', '-y', '-P', '', '-f', path], { accept: [0, 1, 255] });
  const publicKey = stdout.toString('utf8').trim();
  if (exitCode !== 0 || publicKey === '') {
    throw new BytebackError('usage', {
      what: `${path} is no key that byteback can use`,
      why: stderr.trim().split('\n').at(-1) ?? 'ssh-keygen cannot read it',
      fix: 'move it away and run set-up again: a new one is made; or put a key without a passphrase there',
    });
  }
  if ((await readText(`${path}.pub`))?.trim().split(/\s+/)[1] !== publicKey.split(/\s+/)[1]) {
    await writeFileAtomically(`${path}.pub`, `${publicKey}\n`, { mode: 0o644 });
  }
  return { publicKey, made };
}

async function exists(path: string): Promise<boolean> {
  return (await readText(path)) !== undefined;
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
