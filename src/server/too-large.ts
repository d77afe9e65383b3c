import { BytebackError } from '../errors.ts';
import { inBytes } from './prune/words.ts';

/** The refusal of a run that is suddenly much larger than those before it, when it announces it or in its middle. */
export function tooLarge(client: string, bytes: number, limitBytes: number): BytebackError {
  return new BytebackError('storeFull', {
    what: 'the store has no room for a backup that is suddenly much larger than those before it',
    why: `${inBytes(bytes)}${bytes > limitBytes ? '' : ' and more'}, where ${inBytes(limitBytes)} are the most to be expected of ${client}; history would have to go for it`,
    fix: `if that is right, on the server: byteback client allow-growth ${client}; then run byteback-backup again`,
  });
}
