import { BytebackError } from '../../errors.ts';
import { escapeName } from '../../protocol/file-name.ts';
import type { SnapshotName } from '../../protocol/names.ts';
import type { Session } from '../session.ts';
import { everything, isEverything } from './names.ts';
import type { Target } from './target.ts';
import { askForSnapshots, askForVersions } from './versions.ts';

/** How the work is told of, and how it is done from another snapshot. */
export interface OvertakenWords {
  readonly done: 'restored' | 'compared';
  /** What came so far, where something came. */
  readonly sofar?: string;
  /** What to type for another snapshot. */
  readonly again: (snapshot: SnapshotName) => string;
}

/**
 * Does something with a snapshot. When that fails, or is left undone, and the server has pruned the snapshot meanwhile, this is what is
 * said: the rest says only what cannot be read any more.
 * @param isWhole whether what was done is all
 * @throws BytebackError partial
 */
export async function unlessOvertaken<T>(
  target: Pick<Target, 'snapshot' | 'names'>,
  words: OvertakenWords,
  session: Session,
  work: () => Promise<T>,
  isWhole: (result: T) => boolean,
): Promise<T> {
  let result: T;
  try {
    result = await work();
  } catch (error) {
    if (!(error instanceof BytebackError) || session.signal.aborted) throw error;
    throw (await whyOvertaken(target, words, session)) ?? error;
  }
  const why = isWhole(result) ? undefined : await whyOvertaken(target, words, session);
  if (why !== undefined) throw why;
  return result;
}

/** Undefined when the snapshot is there still, or when nobody can be asked. */
async function whyOvertaken(
  { snapshot, names }: Pick<Target, 'snapshot' | 'names'>,
  { done, sofar, again }: OvertakenWords,
  session: Session,
): Promise<BytebackError | undefined> {
  try {
    const left = (await askForSnapshots(session)).snapshots.map((each) => each.snapshot);
    if (left.includes(snapshot)) return undefined;
    const next = await nearestWith(names, byNearness(left, snapshot), session);
    return new BytebackError('partial', {
      what: `snapshot ${snapshot} was pruned on the server before all of it was ${done}`,
      why: `the server needed its room${sofar === undefined ? '' : `; ${sofar}`}`,
      fix:
        next === undefined
          ? 'no snapshot that is left has all of it; list what there is: byteback-restore --all PATH'
          : again(next),
    });
  } catch {
    session.signal.throwIfAborted();
    return undefined;
  }
}

/** Those after it first, the nearest first: what was in a snapshot is as a rule in the next. */
export function byNearness(left: readonly SnapshotName[], gone: SnapshotName): SnapshotName[] {
  const sorted = left.toSorted();
  return [...sorted.filter((name) => name > gone), ...sorted.filter((name) => name < gone).reverse()];
}

/** More names than this are not looked for: what most of them are in tells enough. */
const mostNames = 1000;

async function nearestWith(
  names: readonly Buffer[],
  candidates: readonly SnapshotName[],
  session: Session,
): Promise<SnapshotName | undefined> {
  if (isEverything(names)) return candidates[0];
  const paths = names
    .filter((name) => !name.equals(everything))
    .slice(0, mostNames)
    .map((name) => Buffer.concat([Buffer.from('/'), name]));
  const { versions } = await askForVersions(paths, session);
  return candidates.find((candidate) =>
    paths.every((path) => versions.get(escapeName(path))?.some(({ snapshot }) => snapshot === candidate) === true),
  );
}
