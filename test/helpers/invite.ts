import type { Outcome } from './command.ts';
import type { TestClient } from './installed-machine.ts';

/** What `byteback client invite` printed: the line to type, and the invite that is pasted when it asks. */
export function readInvite(printed: string): { readonly words: string[]; readonly token: string } {
  const [line = '', token = ''] = printed.trim().split('\n');
  return { words: line.split(' '), token };
}

/** Types the line as it was printed, and gives the invite on standard input. */
export function acceptInvite(client: TestClient, printed: string, ...further: string[]): Promise<Outcome> {
  const { words, token } = readInvite(printed);
  return client.runWith({ input: `${token}\n` }, ...words, '--no-timer', ...further);
}
