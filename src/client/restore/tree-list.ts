import { type FileHandle, open } from 'node:fs/promises';
import { BytebackError } from '../../errors.ts';
import { parseDigests } from '../../protocol/digests.ts';
import { escapeName } from '../../protocol/file-name.ts';
import type { SnapshotName } from '../../protocol/names.ts';
import { type ListedEntry, ListParser } from '../../protocol/tree-list.ts';
import { largeBytes } from '../../system/rsync-pull.ts';
import { start } from '../../system/run.ts';
import { diesWithParent, type SshConnection, SshError } from '../../system/ssh.ts';
import { attemptResultOf, type Session } from '../session.ts';
import { rightsOf } from './rights.ts';

/** What a snapshot holds at and below some names, as the server's own lister found it; kept in a file, for it may be long. */
export interface TreeList {
  /** Regular files of `largeBytes` and more, by name (latin1). */
  readonly large: readonly string[];
  /** What may have extended attributes that give rights, and has some. */
  readonly withRights: readonly Pick<ListedEntry, 'name' | 'onTheWay'>[];
  /** How many labels of SELinux do not come back. */
  readonly labels: number;
  /** Some thousands at a time, in the order of the walk. */
  entries(): AsyncGenerator<readonly ListedEntry[]>;
}

/** What is read of a file at once. */
const chunkBytes = 1024 * 1024;

/**
 * Asks for the list. It is begun at once, beside what else goes over the connection; when that is lost, it is asked for anew only
 * when `whole` is called, so that two do not try to connect at a time.
 * @param files `names` holds what is asked for, each name ended by NUL; the answer goes to `list`
 */
export function startList(
  snapshot: SnapshotName,
  files: { readonly names: string; readonly list: string },
  session: Session,
): { whole(): Promise<TreeList> } {
  const fetch = async (connection: SshConnection): Promise<TreeList> => {
    await askIntoFile(connection, `tree ${snapshot}`, files.names, files.list, session.signal);
    const entries = () => entriesOf(files.list, connection.target.host);
    const large: string[] = [];
    const withRights: TreeList['withRights'][number][] = [];
    let labels = 0;
    // That it is whole is told by its last record.
    for await (const some of entries()) {
      for (const entry of some) {
        const { type, sizeBytes, name, onTheWay, held } = entry;
        if (type === 'file' && sizeBytes >= largeBytes) large.push(name);
        const { given } = rightsOf(entry);
        if (given) withRights.push({ name, onTheWay });
        else if (held.label) labels += 1;
      }
    }
    return { large, withRights, labels, entries };
  };
  const first = session.connect().then(fetch);
  // Told by `whole`.
  first.catch(() => undefined);
  return {
    async whole() {
      try {
        return await first;
      } catch (error) {
        session.signal.throwIfAborted();
        if (attemptResultOf(error, 'later') === undefined) throw error;
        return session.persist('later', fetch);
      }
    },
  };
}

/** The checksums of some files of a snapshot, by name (latin1); null for what the server cannot read. */
export async function askForDigests(
  snapshot: SnapshotName,
  names: readonly string[],
  file: string,
  session: Session,
): Promise<ReadonlyMap<string, string | null>> {
  return session.persist('later', async (connection) => {
    const request = await open(`${file}-names`, 'w', 0o600);
    try {
      for (let at = 0; at < names.length; at += 1000)
        await request.write(Buffer.from(`${names.slice(at, at + 1000).join('\0')}\0`, 'latin1'));
    } finally {
      await request.close();
    }
    await askIntoFile(connection, `digests ${snapshot}`, `${file}-names`, file, session.signal);
    const answer = await open(file, 'r');
    try {
      const digests = parseDigests((await answer.readFile()).toString('latin1'));
      if (digests === undefined) throw cutShort(connection.target.host);
      return digests;
    } finally {
      await answer.close();
    }
  });
}

/** What is told goes straight to a file: it costs nothing here while rsync works. */
async function askIntoFile(
  connection: SshConnection,
  command: string,
  input: string,
  output: string,
  signal: AbortSignal,
): Promise<void> {
  let [from, to]: (FileHandle | undefined)[] = [];
  try {
    from = await open(input, 'r');
    to = await open(output, 'w', 0o600);
    const [first, ...words] = connection.argvOf(command);
    const program = start([...diesWithParent, first, ...words], {
      stdin: from.fd,
      stdout: to.fd,
      stderr: 'pipe',
      cwd: '/',
      detached: true,
      signal,
    });
    let stderr = '';
    program.stderr?.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString('latin1')).slice(-16_384);
    });
    const { exitCode } = await program.ended;
    signal.throwIfAborted();
    if (exitCode === 0) return;
    if (exitCode === 255 || exitCode > 128) throw cutShort(connection.target.host);
    const [what = '', ...why] = (
      /^byteback: (.*)$/m.exec(stderr)?.[1] ?? `the server cannot do it: exit ${exitCode}`
    ).split(': ');
    throw new BytebackError('refused', {
      what: escapeName(what),
      ...(why.length === 0 ? {} : { why: escapeName(why.join(': ')) }),
    });
  } finally {
    await from?.close();
    await to?.close();
  }
}

function cutShort(host: string): SshError {
  return new SshError('unreachable', host, 'a list did not come whole', 'give the same command again');
}

async function* entriesOf(path: string, host: string): AsyncGenerator<readonly ListedEntry[]> {
  const file = await open(path, 'r');
  const parser = new ListParser();
  try {
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(chunkBytes), 0, chunkBytes);
      if (bytesRead === 0) break;
      yield [...parser.take(buffer.subarray(0, bytesRead))];
    }
  } finally {
    await file.close();
  }
  if (!parser.isWhole) throw cutShort(host);
}
