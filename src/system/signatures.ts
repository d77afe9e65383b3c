import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ProgramError, run } from './run.ts';

/** Signs a text with an OpenSSH private key. @returns the signature in OpenSSH's own form (ssh-keygen(1), -Y sign). */
export async function signText(keyFile: string, namespace: string, text: string): Promise<string> {
  const argv = ['ssh-keygen', '-q', '-Y', 'sign', '-f', keyFile, '-n', namespace] as const;
  return (await run(argv, { input: text })).stdout.toString('latin1');
}

/** Whether a signature of a text is that of a public key ("ssh-ed25519 AAAA…", no options, no comment). */
export async function isSignedBy(
  publicKey: string,
  { namespace, text, signature }: { readonly namespace: string; readonly text: string; readonly signature: string },
): Promise<boolean> {
  // ssh-keygen wants files that it can open by name.
  const directory = await mkdtemp(join(tmpdir(), 'byteback-signature-'));
  try {
    const [signersFile, signatureFile] = [join(directory, 'signers'), join(directory, 'signature')];
    await writeFile(signersFile, `signer namespaces="${namespace}" ${publicKey}\n`, { mode: 0o600 });
    await writeFile(signatureFile, signature, { mode: 0o600 });
    const files = ['-f', signersFile, '-s', signatureFile] as const;
    await run(['ssh-keygen', '-q', '-Y', 'verify', ...files, '-I', 'signer', '-n', namespace], { input: text });
    return true;
  } catch (error) {
    if (error instanceof ProgramError && error.exitCodeOfProgram === 255) return false;
    throw error;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
