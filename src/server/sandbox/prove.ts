import { buffer, text } from 'node:stream/consumers';
import * as v from 'valibot';
import { reasonOf } from '../../errors.ts';
import { type Proof, ProofSchema } from './inside/prove.ts';
import { noJail, startInJail, whyNoJail } from './jail.ts';
import { jailedProgramArgv } from './jailed.ts';

/** What a proof needs: a directory for the jail to show, and paths of the machine that it must hide. */
export interface ProofPlace {
  readonly directory: string;
  readonly access: 'read' | 'write';
  readonly hidden: readonly string[];
  /** The user that receives; when root is the one who proves. */
  readonly account?: { readonly uid: number; readonly gid: number };
}

/** Paths that no jail may show, wherever it is built. */
export const alwaysHidden = ['/etc', '/root', '/home', '/var', '/run', '/tmp', '/sys', '/boot', '/byteback'] as const;

/**
 * Proves the jail by running in it and trying what it must not allow. Must be run as the user that receives: root
 * needs no user namespace, and would prove nothing.
 * @throws BytebackError refused, with what is wrong.
 */
export async function proveSandbox(place: ProofPlace): Promise<Proof> {
  const jailed = await startInJail({
    directory: place.directory,
    access: place.access,
    argv: jailedProgramArgv('prove'),
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
    timeoutMs: 30_000,
    ...(place.account === undefined ? {} : { account: place.account }),
  });
  jailed.stdin?.on('error', () => undefined);
  jailed.stdin?.end(JSON.stringify({ hidden: [...alwaysHidden, ...place.hidden], writable: place.access === 'write' }));
  const [stdout, stderr, { exitCode }] = await Promise.all([
    jailed.stdout === null ? Buffer.alloc(0) : buffer(jailed.stdout),
    jailed.stderr === null ? '' : text(jailed.stderr),
    jailed.ended,
  ]);
  if (exitCode !== 0)
    throw noJail(whyNoJail(stderr) ?? `the program in it exited ${exitCode}: ${stderr.trim().slice(0, 500)}`);
  let proof: Proof;
  try {
    proof = v.parse(ProofSchema, JSON.parse(stdout.toString('utf8')));
  } catch (error) {
    throw noJail(`the program in it gave no proof: ${reasonOf(error)}`, error);
  }
  const wrong = whatIsWrong(proof, place.access);
  if (wrong.length > 0) throw noJail(`it does not hold: ${wrong.join('; ')}`);
  return proof;
}

/** What a proof shows to be wrong, in words; empty when the jail holds. */
export function whatIsWrong(proof: Proof, access: 'read' | 'write'): string[] {
  const wrong: string[] = [];
  if (proof.visible.length > 0) wrong.push(`${proof.visible.join(', ')} can be seen from inside`);
  if (proof.seccomp !== 2) wrong.push('no filter of system calls is active');
  if (!proof.symlinkRefused) wrong.push('a system call that is on the list was not refused');
  if (!proof.noNewPrivileges) wrong.push('programs may gain rights');
  if (!/^0+$/.test(proof.capabilities)) wrong.push('it has capabilities');
  if (proof.interfaces.length > 0) wrong.push('it has a network');
  if (proof.processes > 5) wrong.push('it sees the processes of others');
  if (proof.wroteRoot) wrong.push('its root can be written');
  if (proof.wroteDirectory !== (access === 'write')) {
    wrong.push(proof.wroteDirectory ? 'a directory for reading can be written' : 'its directory cannot be written');
  }
  return wrong;
}
