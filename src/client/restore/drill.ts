import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseDestination, rsyncHost } from '../../protocol/destination.ts';
import { escapeName, unescapeName } from '../../protocol/file-name.ts';
import { DrillReplySchema, ProofReplySchema } from '../../protocol/messages.ts';
import type { SnapshotName } from '../../protocol/names.ts';
import { proofNamespace, proofText } from '../../protocol/proof-text.ts';
import { signText } from '../../system/signatures.ts';
import { makeTemporaryDirectory } from '../../system/temporary.ts';
import { digestOfUnchanged } from '../originals.ts';
import { ask } from '../remote.ts';
import { relativeToRoot } from './names.ts';
import { type Failed, pullThrough } from './pull.ts';
import { openRestoreSession, type RestoreDeps } from './versions.ts';

/** What a drill showed; `--json` prints it. */
export interface DrillReport {
  readonly status: 'ok' | 'partial';
  readonly snapshot: SnapshotName;
  /** Files that the server drew. */
  readonly drawn: number;
  /** Those that are unchanged here, and equal there. */
  readonly files: number;
  readonly bytes: number;
  /** Those that have changed here since, or are gone: they prove nothing. */
  readonly changed: number;
  readonly failed: readonly Failed[];
  /** Whether the server counts this machine as proven restorable by it; an older server does not say. */
  readonly proven?: boolean;
  /** Why it does not. */
  readonly why?: string;
}

/**
 * A restore drill: the server draws files, this machine says what its own, unchanged ones are by checksum, and the server
 * compares. The same files then go through a restore that writes nothing.
 */
export async function runDrill(deps: RestoreDeps): Promise<DrillReport> {
  const { config, log } = deps;
  const session = openRestoreSession(deps, true);
  const temporary = await makeTemporaryDirectory(tmpdir(), 'byteback-drill-');
  try {
    const asking = { signal: session.signal };
    const drawn = await session.persist('later', (connection) =>
      ask(connection, 'drill', undefined, DrillReplySchema, asking),
    );
    log.step(`comparing ${drawn.files.length} files that the server drew from ${drawn.snapshot}`);
    const answers: { path: string; sha256: string | null }[] = [];
    for (const file of drawn.files) {
      session.signal.throwIfAborted();
      answers.push({ path: file.path, sha256: await digestOfUnchanged(unescapeName(file.path), file) });
    }
    const unchanged = answers.filter(({ sha256 }) => sha256 !== null).map(({ path }) => unescapeName(path));
    const failed = new Map<string, Failed>();
    if (unchanged.length > 0) {
      const listFile = join(temporary, 'drawn');
      const names = unchanged.flatMap((path) => [relativeToRoot(path), Buffer.from([0])]);
      await writeFile(listFile, Buffer.concat(names), { mode: 0o600 });
      const pull = {
        host: rsyncHost(parseDestination(config.destination)),
        remoteCommand: `restore ${drawn.snapshot}`,
        listFile,
        directory: '/',
        mode: { kind: 'compare', keepParents: true },
        ioTimeoutMs: config.ioTimeoutMs,
      } as const;
      const restored = await pullThrough(pull, session, log, {
        label: 'restoring, without writing',
        item: ({ content, name }) => {
          const path = `/${escapeName(name)}`;
          if (content) failed.set(path, { path, why: 'a restore would bring another content' });
        },
      });
      for (const failure of restored.failed) failed.set(failure.path, failure);
    }
    const answer = { drill: drawn.drill, files: answers };
    const signature =
      drawn.client === undefined
        ? {}
        : { signature: await signText(deps.paths.key, proofNamespace, proofText(drawn.client, answer)) };
    const request = { ...answer, ...signature };
    const verdict = await session.persist('later', (connection) =>
      ask(connection, 'proof', request, ProofReplySchema, asking),
    );
    for (const path of verdict.wrong) {
      const why = 'the store holds another content, or cannot be read';
      if (!failed.has(path)) failed.set(path, { path, why });
    }
    return {
      status: failed.size === 0 && verdict.proven !== false ? 'ok' : 'partial',
      snapshot: drawn.snapshot,
      drawn: drawn.files.length,
      files: verdict.files,
      bytes: verdict.bytes,
      changed: drawn.files.length - unchanged.length,
      failed: [...failed.values()],
      ...(verdict.proven === undefined ? {} : { proven: verdict.proven }),
      ...(verdict.why === undefined ? {} : { why: escapeName(unescapeName(verdict.why)) }),
    };
  } finally {
    await session.close();
    await rm(temporary, { recursive: true, force: true });
  }
}
