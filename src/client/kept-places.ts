import { type KeptPlace, keepRecords, keptBy, topmostPlaces } from '../catalogue/kept.ts';
import type { Scan } from '../catalogue/scan.ts';
import type { Catalogue } from '../catalogue/store.ts';

/** With more places than this that could not be looked at, something else is wrong; all is walked then. */
const mostPlaces = 1000;

/** What a scan leaves for the run, places that were not looked into settled. */
export interface KeptScan {
  readonly scan: Scan;
  readonly kept: readonly KeptPlace[];
  readonly keptFrom: Catalogue | undefined;
  readonly cacheDirectories: readonly string[];
}

/**
 * What could not be looked into stays on the server as it is, and in the catalogue, too; all else is compared as ever.
 * @param missing mount points on which nothing is mounted, and what no run can carry
 * @param pruned what byteback leaves out itself
 * @param isTaken whether the rules take a directory
 */
export async function keepUnlooked(
  scan: Scan,
  before: Catalogue | undefined,
  {
    missing,
    pruned,
    isTaken,
  }: {
    missing: readonly KeptPlace[];
    pruned: readonly string[];
    isTaken: (path: string) => boolean;
  },
  workDirectory: string,
): Promise<KeptScan> {
  const unlooked = scan.unlooked.filter(({ path, isLoop }) => isTaken(path) && !(isLoop && pruned.includes(path)));
  const whole = { scan, kept: [], keptFrom: undefined, cacheDirectories: scan.cacheDirectories };
  if (unlooked.length === 0 && missing.length === 0) return whole;
  const [first] = unlooked;
  if (unlooked.length > mostPlaces || unlooked.some(({ path }) => !path.startsWith('/') || path === '/')) {
    return { ...whole, scan: { ...scan, incomplete: scan.incomplete ?? `${first?.path}: ${first?.why}` } };
  }
  // A place that has no record of its own could not even be looked at from outside; `keepRecords` sees to that.
  const places = unlooked.map(({ path, why }): KeptPlace => ({ path, extent: 'contents', why }));
  const wanted = topmostPlaces([...missing, ...places]);
  const { file, places: kept } = await keepRecords(scan.file, before?.file, wanted, workDirectory);
  const isKept = keptBy(kept);
  const cacheDirectories = [
    ...scan.cacheDirectories.filter((path) => !isKept(path)),
    ...(before?.cacheDirectories.filter(isKept) ?? []),
  ];
  return { scan: { ...scan, file, cacheDirectories }, kept, keptFrom: before, cacheDirectories };
}
