import { escapeName } from '../../protocol/file-name.ts';
import type { Log } from '../../system/log.ts';
import type { Session } from '../session.ts';
import { differenceInWords, differsOnlyInXattrs } from './differences.ts';
import { type AskedPull, type Failed, type PullReport, pullThrough } from './pull.ts';

/**
 * From a server that is older than its client, and cannot list what it has: everything is asked for once more, with holes, and then
 * compared by rsync itself.
 */
export async function bringWithoutList(
  pull: AskedPull,
  {
    bring,
    noted,
    failed,
    verify,
  }: {
    readonly bring: (part: AskedPull) => Promise<PullReport>;
    readonly noted: (report: Promise<PullReport>) => Promise<PullReport>;
    readonly failed: Map<string, Failed>;
    readonly verify: boolean;
  },
  session: Session,
  log: Log,
): Promise<void> {
  log.warn('the server is older than this program: what comes is compared, and not counted');
  const isRoot = process.getuid?.() === 0;
  if (isRoot) log.warn('it does not tell whose they are: no capabilities and other attributes of the system come back');
  await noted(bring({ ...pull, files: 'withHoles' }));
  const keepParents = pull.mode.kind === 'over' && pull.mode.keepParents;
  if (pull.mode.kind === 'over')
    await noted(pullThrough({ ...pull, mode: { kind: 'directories', keepParents } }, session, log, {}));
  if (!verify) return;
  log.step('comparing with the snapshot, by checksums');
  await noted(
    pullThrough({ ...pull, mode: { kind: 'compare', keepParents } }, session, log, {
      label: 'comparing',
      item: ({ flags, name }) => {
        const ofSystem = differsOnlyInXattrs(flags);
        if (ofSystem && !isRoot) return;
        const path = `/${escapeName(name)}`;
        const why = ofSystem
          ? 'its capabilities and other attributes of the system are kept back'
          : differenceInWords(flags);
        if (!failed.has(path)) failed.set(path, { path, why });
      },
    }),
  );
}
