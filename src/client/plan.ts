import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { compileRules, type RuleMatcher } from '../catalogue/excludes.ts';
import type { KeptPlace } from '../catalogue/kept.ts';
import { findRefused } from '../catalogue/refused.ts';
import { type Scan, scanTree } from '../catalogue/scan.ts';
import { type Catalogue, type Kept, rulesIdentity } from '../catalogue/store.ts';
import { type Taken, takenBy } from '../catalogue/taken.ts';
import type { ClientConfig } from '../config/client-config.ts';
import { BytebackError } from '../errors.ts';
import type { Log } from '../system/log.ts';
import { type MountSpace, machineSpace, openMountSpace } from '../system/mount-space.ts';
import { parseMountinfo } from '../system/mountinfo.ts';
import { fstabMountPoints } from '../system/mounts.ts';
import { findSilent } from '../system/silent-paths.ts';
import { keepRules, makeRules, parentsOf, type Rule, topmost } from './filter-rules.ts';
import { keepUnlooked } from './kept-places.ts';
import { decideLocks } from './locked-directories.ts';
import { decideRegions, isWithin, type Region, type RegionInput } from './mounts.ts';
import { wayTo } from './plain-way.ts';
import { decideMounts, type Remembered, readMounts } from './remembered-mounts.ts';
import { type AwaySource, resolveSources, showPath, toByteString } from './sources.ts';

/** What is left out, for people. */
export interface LeftOut {
  /** Absolute, escaped. */
  readonly path: string;
  readonly why: string;
}

/** What a run will do, decided before anything is sent. */
export interface Plan {
  /** Absolute, as byte strings. */
  readonly sources: readonly string[];
  readonly rules: readonly Rule[];
  readonly leftOut: readonly LeftOut[];
  readonly scan: Scan;
  /** What was not looked into: the server keeps there what it has. */
  readonly kept: readonly KeptPlace[];
  /** The catalogue that told what that is. */
  readonly keptFrom: Catalogue | undefined;
  /** Encrypted directories that are open, as byte strings: their key may go at any moment. */
  readonly openDirectories: readonly string[];
  /** What the next run is to know of what is mounted and open now. */
  readonly mounts: Remembered;
  /** Where the tree is seen without what is left out. */
  readonly space: MountSpace;
  /** Undefined when only rsync understands the rules. */
  readonly taken: Taken | undefined;
  /** The same only when the same paths count. */
  readonly identity: string;
}

/** What counts, as far as it depends on the caches that were found. */
export type Rules = Pick<Plan, 'rules' | 'taken' | 'identity'>;

export interface PlanOptions {
  /** Named on the command line: what lies outside them stays on the server. */
  readonly sources?: readonly string[];
  readonly excludes?: readonly string[];
  /** Mount points that are none any more: what lies there now is copied. */
  readonly forgetMounts?: readonly string[];
}

/**
 * Decides what is copied and walks it once.
 * @throws BytebackError (usage) when a source is missing, cannot be read, or is left out by the person's own rules.
 */
export async function makePlan(
  options: PlanOptions,
  context: {
    config: ClientConfig;
    stateDir: string;
    configDir: string;
    workingDirectory: string;
    workDirectory: string;
    log: Log;
    signal: AbortSignal;
    /** What earlier runs held. */
    catalogues: Promise<Kept>;
    /** Told at once; whoever is told closes it in the end. */
    onSpace: (space: MountSpace) => void;
    /** Told what would count if these were the caches, as the scan begins. */
    onScan?: (rulesWith: (cacheDirectories: readonly string[]) => Rules, space: MountSpace) => void;
  },
): Promise<Plan> {
  const { config, log } = context;
  const resolved = await resolveSources(options.sources ?? config.source, context.workingDirectory);
  for (const note of resolved.notes) log.info(note);
  const sources = resolved.paths;
  const patterns = [
    ...(await readRuleLines(config.original.excludesFile)),
    ...[...config.exclude, ...(options.excludes ?? [])].map(toByteString),
  ];
  const filters = await readRuleLines(config.original.filterFile);

  const mountinfo = await readFile('/proc/self/mountinfo', 'latin1');
  const own = makeRules({
    sources: ['/'],
    filters,
    patterns,
    regions: [],
    cacheDirectories: [],
    protectOutside: false,
  });
  const ownMatcher = compileRules(own);
  const input: RegionInput = {
    mountinfo,
    swaps: await readFile('/proc/swaps', 'latin1').catch(() => ''),
    sources,
    own: ownDirectories(mountinfo, context.stateDir),
    needed: neededDirectories(context),
    excluded: (path) => !('notExpressible' in ownMatcher) && isExcluded(ownMatcher, path),
  };
  const away = [...resolved.away, ...(await findSilentMounts(input, resolved.away))];
  const stuck = away.filter(({ isStuck }) => isStuck).map(({ path }) => path);
  const { regions, refused, detached, ownFileSystems } = decideRegions({ ...input, stuck });
  for (const { source, why } of refused) {
    throw new BytebackError('usage', {
      what: `source ${showPath(source)} cannot be copied`,
      why,
      fix: 'name another source',
    });
  }
  for (const source of sources) {
    if (!('notExpressible' in ownMatcher) && isExcluded(ownMatcher, source)) {
      throw new BytebackError('usage', {
        what: `source ${showPath(source)} is excluded`,
        why: 'a pattern in exclude matches it or a directory that it lies in',
        fix: 'take the pattern out of exclude, or the source out of source',
      });
    }
  }

  const left = regions.filter(({ verdict }) => verdict === 'leave');
  const starts = startsOf(sources, regions);
  const isAway = (path: string) => away.some((place) => isWithin(path, place.path));
  const pruned = left.map(({ path }) => path).filter((path) => !sources.includes(path));
  const rulesWith = (cacheDirectories: readonly string[]): Rules => {
    const protectOutside = options.sources !== undefined;
    const rules = makeRules({ sources, filters, patterns, regions, cacheDirectories, protectOutside });
    const matcher = compileRules(rules);
    return {
      rules,
      taken: 'notExpressible' in matcher ? undefined : takenBy(matcher),
      identity: rulesIdentity([...rules, ...starts, '', ...pruned]),
    };
  };
  const now = Date.now();
  const known = await readMounts(context.stateDir);
  const { missing, remembered } = decideMounts(known.mounts, ownFileSystems, {
    now,
    fstab: new Set(fstabMountPoints(await readFile('/etc/fstab', 'latin1').catch(() => ''))),
    forgotten: (options.forgetMounts ?? []).map((path) => toByteString(resolve(context.workingDirectory, path))),
    mattering: (path) =>
      sources.some((source) => isWithin(path, source)) &&
      ('notExpressible' in ownMatcher || !isExcluded(ownMatcher, path)),
  });
  const space = await openSpace(detached, stuck, context);
  context.onSpace(space);
  const ways = waysTo(starts, isAway, space.root);
  context.onScan?.(rulesWith, space);
  log.step(`scanning ${sources.map(showPath).join(' ')}`);
  const scan = await scanTree({
    starts: starts.filter((path) => !isAway(path)),
    // What a start walks anyway would be there twice.
    ways: ways.filter((way) => !isWalked(way, starts, pruned)),
    pruned,
    workDirectory: context.workDirectory,
    space,
    mounts: parseMountinfo(mountinfo),
    signal: context.signal,
    onProgress: (recordBytes) => log.progress({ label: 'scanning', doneBytes: recordBytes }),
  });
  log.progress(undefined);
  const before = options.sources === undefined ? (await context.catalogues).catalogues[0] : undefined;
  const { taken } = rulesWith(scan.cacheDirectories);
  const locks = decideLocks(scan.encrypted, known.open, {
    now,
    mattering: (path) => sources.some((source) => isWithin(path, source)) && (taken?.(path, true) ?? true),
  });
  const kept = await keepUnlooked(
    scan,
    before,
    {
      missing: [...missing, ...away, ...locks.locked, ...findRefused(scan, taken)],
      pruned,
      isTaken: (path) => taken?.(path, true) ?? true,
    },
    context.workDirectory,
  );
  const leftOut = [
    ...left.map(({ path, why }) => ({ path: showPath(path), why })),
    ...kept.cacheDirectories.map((path) => ({ path: showPath(path), why: 'a cache: it holds a valid CACHEDIR.TAG' })),
    ...patterns.map((pattern) => ({ path: showPath(pattern), why: 'a pattern in exclude' })),
  ];
  const rules = rulesWith(kept.cacheDirectories);
  return {
    sources,
    leftOut,
    ...kept,
    openDirectories: locks.open,
    mounts: { mounts: [...remembered], open: [...locks.remembered] },
    space,
    ...rules,
    rules: [...keepRules(kept.kept.map(({ path }) => path)), ...rules.rules],
  };
}

/** File systems that are taken, and that do not answer. */
async function findSilentMounts(input: RegionInput, away: readonly AwaySource[]): Promise<AwaySource[]> {
  const places = decideRegions(input).ownFileSystems.map(({ path }) => path);
  const silent = await findSilent(places.filter((path) => !away.some((place) => isWithin(path, place.path))));
  return silent.map((path) => ({ path, extent: 'whole', why: 'what is mounted there does not answer', isStuck: true }));
}

/** The directories on the way to where the walk begins. To what is away they may not be there. */
function waysTo(starts: readonly string[], isAway: (path: string) => boolean, root: string): string[] {
  const waysOf = (path: string) => (path === '/' ? [] : ['/', ...parentsOf(path)]);
  const certain = starts.filter((path) => !isAway(path)).flatMap(waysOf);
  const others = starts.filter(isAway).flatMap(waysOf);
  return [...new Set([...certain, ...others.filter((path) => !isAway(path) && wayTo(path, root) === 'there')])];
}

/** Detaches for this run what it must not touch. Where that cannot be, it sees the machine as it is. */
async function openSpace(
  detached: readonly string[],
  stuck: readonly string[],
  { log, signal }: { log: Log; signal: AbortSignal },
): Promise<MountSpace> {
  if (detached.length === 0) return machineSpace;
  const space = await openMountSpace(detached, signal);
  if (typeof space === 'string') {
    const [first] = stuck.filter((path) => detached.includes(path));
    if (first !== undefined) {
      throw new BytebackError('usage', {
        what: `${showPath(first)} does not answer`,
        why: `the run would wait for it, as it cannot be kept out of its sight: no mount namespace of its own: ${space}`,
        fix: `unmount it: umount --lazy ${showPath(first)}; or take it out of the sources`,
      });
    }
    log.info(`what is left out stays in sight, and can hold up the run: no mount namespace of its own: ${space}`);
    return machineSpace;
  }
  log.debug(`out of sight: ${[...new Set(detached)].map(showPath).join(' ')}`);
  return space;
}

/** What a run starts, reads and writes itself. */
function neededDirectories({ stateDir, configDir }: { stateDir: string; configDir: string }): string[] {
  const programs = ['/usr', '/bin', '/sbin', '/lib', '/lib64', '/etc', '/dev', '/proc'];
  return [...programs, dirname(process.execPath), stateDir, configDir].map(toByteString);
}

/** Where the walk begins: at the sources, and at what is taken inside something left out. */
function startsOf(sources: readonly string[], regions: readonly Region[]): string[] {
  const inner = regions.filter(
    (region, at) =>
      region.verdict === 'take' &&
      regions.slice(at + 1).some((outer) => outer.verdict === 'leave' && isWithin(region.path, outer.path)),
  );
  return [...new Set([...topmost(sources), ...inner.map(({ path }) => path)])];
}

/** True when the walk from one of the starts comes by. */
function isWalked(path: string, starts: readonly string[], pruned: readonly string[]): boolean {
  const cut = (start: string) =>
    pruned.some((place) => place !== path && isWithin(path, place) && isWithin(place, start));
  return starts.some((start) => isWithin(path, start) && !cut(start));
}

/** True when the rules leave out a path or a directory that it lies in. */
function isExcluded(matcher: RuleMatcher, path: string): boolean {
  if (path === '/') return false;
  return [...parentsOf(path), path].some((at) => matcher.verdict(at.slice(1), true) === 'exclude');
}

/** Directories of byteback itself: a copy of them would be useless at best. */
function ownDirectories(mountinfo: string, stateDir: string): { path: string; why: string }[] {
  const stores = parseMountinfo(mountinfo)
    .filter(
      ({ type, path }) =>
        type === 'btrfs' && existsSync(join(Buffer.from(path, 'latin1').toString('utf8'), '.byteback', 'store.json')),
    )
    .map(({ path }) => ({ path, why: 'a store of byteback' }));
  return [...stores, { path: toByteString(stateDir), why: "byteback's own state" }];
}

/** The lines of a file of the original, as byte strings, without comments and empty lines, as rsync reads such files. */
async function readRuleLines(path: string | undefined): Promise<string[]> {
  if (path === undefined) return [];
  const text = await readFile(path, 'latin1');
  return text.split(/\r?\n/).filter((line) => line !== '' && !/^[#;]/.test(line));
}
