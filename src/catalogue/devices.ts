import type { ByteSource } from './compare.ts';
import { pathEnd } from './record.ts';

/** Numbers of devices and what they mean: see system/devices.ts. */
interface Devices {
  readonly bootId: string;
  readonly names: Readonly<Record<string, string>>;
}

/** What a device number of an older catalogue is now; a number that no device has where it is not there any more. Pure. */
export type Translate = (device: string) => string;

/**
 * How the numbers of one catalogue are read with those of a later scan; undefined when each means what it meant.
 * A number without a name means nothing after a boot, nor where a device with a name has it now.
 */
export function translation(before: Devices, now: Devices): Translate | undefined {
  const numbers = new Map(Object.entries(now.names).map(([number, name]) => [name, number]));
  const isSameBoot = before.bootId === now.bootId;
  const translate = (number: string): string => {
    const name = before.names[number];
    if (name !== undefined) return numbers.get(name) ?? `${number}!`;
    return isSameBoot && now.names[number] === undefined ? number : `${number}!`;
  };
  const known = [...Object.keys(before.names), ...Object.keys(now.names)];
  return isSameBoot && known.every((number) => translate(number) === number) ? undefined : translate;
}

/** The end of a record, from the size to the device and behind it. */
const fields = /\x01(\S \d+ \S+ \S+ )(\d+)(:\d+ \d+ \d+ \d+ \d+\0)/g;

/** A source of records with the device numbers translated. */
export function translated(source: ByteSource, translate: Translate): ByteSource {
  const known = new Map<string, string>();
  const numberOf = (device: string): string => {
    const number = known.get(device) ?? translate(device);
    known.set(device, number);
    return number;
  };
  let rest = '';
  return () => {
    for (;;) {
      const piece = source();
      if (piece === undefined || piece.length === 0) {
        const torn = rest;
        rest = '';
        return torn === '' ? undefined : Buffer.from(torn, 'latin1');
      }
      const text = rest + Buffer.from(piece.buffer, piece.byteOffset, piece.length).toString('latin1');
      const end = text.lastIndexOf('\0') + 1;
      rest = text.slice(end);
      if (end === 0) continue;
      const whole = text
        .slice(0, end)
        .replace(
          fields,
          (_, before: string, device: string, behind: string) => `${pathEnd}${before}${numberOf(device)}${behind}`,
        );
      return Buffer.from(whole, 'latin1');
    }
  };
}
