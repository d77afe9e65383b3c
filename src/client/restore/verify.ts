import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readCatalogues } from '../../catalogue/store.ts';
import type { ClientConfig } from '../../config/client-config.ts';
import { parseDestination, rsyncHost } from '../../protocol/destination.ts';
import { escapeName } from '../../protocol/file-name.ts';
import { type SnapshotName, snapshotTime } from '../../protocol/names.ts';
import type { MountSpace } from '../../system/mount-space.ts';
import { makeTemporaryDirectory } from '../../system/temporary.ts';
import { serializeRules } from '../filter-rules.ts';
import { readLastRun } from '../last-run.ts';
import { isNewerThan } from '../originals.ts';
import { makePlan } from '../plan.ts';
import { showPath } from '../sources.ts';
import { snapshotOf } from './choice.ts';
import { differenceInWords, differsOnlyInXattrs } from './differences.ts';
import { everything } from './names.ts';
import { unlessOvertaken } from './overtaken.ts';
import { type Failed, pullThrough } from './pull.ts';
import { listSnapshots, noSnapshots, openRestoreSession, type RestoreDeps, wishOf } from './versions.ts';

/** What a comparison of a whole snapshot showed; `--json` prints it. */
export interface VerifyReport {
  /** `partial`: something differs that nothing here explains. */
  readonly status: 'ok' | 'partial';
  readonly snapshot: SnapshotName;
  /** Since when a change on this machine explains a difference. */
  readonly since: string;
  /** Differences that a change of the file, or of its directory, explains. */
  readonly changedSince: number;
  /** Differences of what has not changed here: the first 1,000. */
  readonly different: readonly Failed[];
  readonly differences: number;
}

/** Names that are kept. */
const mostNamed = 1000;
/** Of an older snapshot only the end is known: its run is taken to have lasted no longer. */
const longestRunMs = 24 * 3_600_000;

/**
 * Compares all of a snapshot, the newest by default, with this machine: contents by checksum, owners, modes, times, links
 * and attributes, and what is here and not there. Nothing is written.
 */
export async function verifySnapshot(
  options: { readonly snapshot?: string; readonly at?: string },
  deps: RestoreDeps & { readonly config: ClientConfig },
): Promise<VerifyReport> {
  const { config, paths, log, signal } = deps;
  const session = openRestoreSession(deps, true);
  let space: MountSpace | undefined;
  const temporary = await makeTemporaryDirectory(paths.stateDir, 'verify-');
  try {
    const snapshots = await listSnapshots(session);
    const wish = wishOf({ ...options, paths: [], all: false }, snapshots, deps.clock.now());
    const snapshot = snapshotOf(wish, snapshots) ?? snapshots.at(-1)?.snapshot;
    if (snapshot === undefined) throw noSnapshots();
    const since = await beginOf(snapshot, paths.lastRun);
    const plan = await makePlan(
      {},
      {
        config,
        stateDir: paths.stateDir,
        configDir: paths.configDir,
        catalogues: readCatalogues(paths.stateDir),
        onSpace: (opened) => {
          space = opened;
        },
        workingDirectory: '/',
        workDirectory: temporary,
        log,
        signal,
      },
    );
    const [rulesFile, listFile] = [join(temporary, 'rules'), join(temporary, 'list')];
    await writeFile(rulesFile, serializeRules(plan.rules), { mode: 0o600 });
    // By a list: without one, what is here and outside of the sources would count as what the snapshot lacks.
    await writeFile(listFile, './\0', { mode: 0o600 });
    log.step(`comparing this machine with ${snapshot}, by checksums`);
    const different = new Map<string, Failed>();
    let [differences, changedSince] = [0, 0];
    const note = (path: Buffer, why: string) => {
      if (isNewerThan(path, since)) {
        changedSince += 1;
        log.info(`changed since: ${escapeName(path)}`);
        return;
      }
      differences += 1;
      const name = escapeName(path);
      if (different.size < mostNamed) different.set(name, { path: name, why });
    };
    const compare = () =>
      pullThrough(
        {
          host: rsyncHost(parseDestination(config.destination)),
          remoteCommand: `restore ${snapshot}`,
          listFile,
          directory: '/',
          mode: { kind: 'compare', keepParents: false, rulesFile, enter: plan.space.enter },
          ioTimeoutMs: config.ioTimeoutMs,
          ...(config.bwlimit === undefined ? {} : { bwlimit: config.bwlimit }),
        },
        session,
        log,
        {
          label: 'comparing',
          item: ({ flags, name }) => {
            if (differsOnlyInXattrs(flags)) return;
            const path = Buffer.concat([Buffer.from('/'), name.equals(everything) ? Buffer.alloc(0) : name]);
            const trimmed = path.length > 1 && path.at(-1) === 0x2f ? path.subarray(0, -1) : path;
            note(trimmed, flags.startsWith('*') ? 'it is here, and not in the snapshot' : missingOr(flags));
          },
        },
      );
    const words = { done: 'compared', again: () => 'compare with the newest: byteback verify' } as const;
    const compared = await unlessOvertaken(
      { snapshot, names: [everything] },
      words,
      session,
      compare,
      ({ failed }) => differences + failed.length === 0,
    );
    // What could not be looked into is not known to be the same.
    const unlooked = plan.kept.map(({ path, why }) => ({ path: showPath(path), why }));
    for (const failure of [...unlooked, ...compared.failed]) {
      if (!different.has(failure.path)) differences += 1;
      different.set(failure.path, failure);
    }
    return {
      status: differences === 0 ? 'ok' : 'partial',
      snapshot,
      since: since.toISOString(),
      changedSince,
      different: [...different.values()],
      differences,
    };
  } finally {
    await session.close();
    await space?.close();
    await rm(temporary, { recursive: true, force: true });
  }
}

function missingOr(flags: string): string {
  return flags.includes('+++') ? 'it is in the snapshot, and not here' : differenceInWords(flags);
}

/** When the run began that made a snapshot, by this machine's clock where that is known. */
async function beginOf(snapshot: SnapshotName, lastRunFile: string): Promise<Date> {
  const last = await readLastRun(lastRunFile);
  if (last?.snapshot === snapshot && last.lastSnapshotBegunAt !== null) return new Date(last.lastSnapshotBegunAt);
  return new Date((snapshotTime(snapshot)?.getTime() ?? 0) - longestRunMs);
}
