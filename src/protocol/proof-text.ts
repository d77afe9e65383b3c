import type { ProofRequest } from './messages.ts';
import type { ClientName } from './names.ts';

/** What ssh-keygen calls the namespace: a signature for anything else is none of an answer. */
export const proofNamespace = 'proof@byteback';

/** The text of an answer to a drill that the client signs with its key. Paths are escaped: one line each. */
export function proofText(client: ClientName, { drill, files }: Pick<ProofRequest, 'drill' | 'files'>): string {
  const lines = files.map(({ path, sha256 }) => `${sha256 ?? '-'} ${path}`);
  return `${['byteback proof 1', client, drill, ...lines].join('\n')}\n`;
}
