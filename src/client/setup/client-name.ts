import { BytebackError } from '../../errors.ts';
import { type ClientName, parseClientName, whyNotClientName } from '../../protocol/names.ts';

/** The name that a machine gets on the server, and whether it had to be mapped to a DNS name. */
export interface ChosenName {
  readonly name: ClientName;
  /** What was asked for. */
  readonly from: string;
  readonly mapped: boolean;
}

/**
 * The client's name from what was given with --hostname, or from the machine's own name. Upper case and underscores,
 * which host names in the wild have, are mapped; anything else that is no DNS name is refused, because two machines
 * must never end up with one name by guessing.
 * @throws BytebackError (usage)
 */
export function chooseClientName(given: string | undefined, machineName: string): ChosenName {
  const from = given ?? machineName;
  const candidate = from
    .toLowerCase()
    .replace(/\.$/, '')
    .replaceAll('_', '-')
    .replace(/^-+|-+$/g, '')
    .replace(/-*\.-*/g, '.');
  const name = parseClientName(candidate);
  if (name === undefined) {
    throw new BytebackError('usage', {
      what:
        given === undefined
          ? `this machine's name ${JSON.stringify(from)} cannot name a client`
          : `${JSON.stringify(from)} cannot name a client`,
      why: whyNotClientName(candidate) ?? 'it is no DNS name',
      fix: 'give it a name with --hostname, for example: --hostname web1.example.net',
    });
  }
  return { name, from, mapped: name !== from };
}
