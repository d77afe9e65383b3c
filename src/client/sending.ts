import { keptBy } from '../catalogue/kept.ts';
import type { Catalogue, Kept } from '../catalogue/store.ts';
import { type ChangePlan, planChanges, planWalk, type WalkPlan } from './change-plan.ts';
import { isWithin } from './mounts.ts';
import type { Plan } from './plan.ts';
import { showPath } from './sources.ts';

/** What is compared with what. */
export interface SendingContext {
  readonly kept: Kept;
  readonly workDirectory: string;
  /** Asked for by the person. */
  readonly full: boolean;
  /** False when sources were named on the command line. */
  readonly everything: boolean;
  /** Seconds since 1970; undefined before the first snapshot. */
  readonly changedSince: number | undefined;
  readonly now: Date;
  /** All of the tree is walked on both sides at least this often. */
  readonly checkEveryMs: number;
}

/** The changes since one catalogue. */
export interface KnownChanges {
  readonly catalogue: Catalogue;
  readonly plan: ChangePlan;
}

/** What a run will send: the changes when they are known, and a full walk when they are not. */
export interface Sending {
  /** The changes since the newest catalogue, if it turns out to be the server's generation; undefined without one. */
  readonly changes: KnownChanges | undefined;
  /** The changes since the run that the server says it holds; a text says why they are not known. */
  since(generation: string | null): KnownChanges | string;
  /** What a full walk needs; worked out once. */
  walk(): Promise<WalkPlan>;
  /**
   * Files that may look the same by size and time on both sides of a full walk and are not: those with another ctime than
   * at the last run that is known of, whatever became of it.
   */
  readonly touched: readonly string[];
  /** Whether the scan may become the catalogue. */
  readonly keepsCatalogue: boolean;
}

/** Decides how much of the tree has to be sent, as far as that is known before the server is asked. */
export function decideSending(plan: Plan, context: SendingContext): Sending {
  const { catalogues, damaged } = context.kept;
  const told = new Map<Catalogue, KnownChanges | string>();
  const changesSince = (catalogue: Catalogue): KnownChanges | string => {
    const known = told.get(catalogue) ?? compareWith(catalogue, plan);
    told.set(catalogue, known);
    return known;
  };
  const [newest] = catalogues;
  const first = newest === undefined ? undefined : changesSince(newest);
  const since = (generation: string | null) => {
    const catalogue = catalogues.find(({ run }) => run === generation);
    const why = whyWalk(plan, context, catalogue);
    if (why !== undefined) return why;
    if (generation === null) return 'the last run did not complete, or there was none';
    if (catalogue !== undefined) return changesSince(catalogue);
    return damaged
      ? 'the catalogue of the last run is damaged, or of another version'
      : 'there is no catalogue of the last run';
  };
  const hoped = newest === undefined ? undefined : since(newest.run);
  let walk: Promise<WalkPlan> | undefined;
  return {
    changes: typeof hoped === 'object' ? hoped : undefined,
    touched: typeof first === 'object' ? first.plan.touched : [],
    keepsCatalogue: context.everything,
    walk: () => {
      walk ??= walkOf(plan, context, first);
      return walk;
    },
    since,
  };
}

/**
 * What a full walk sends. What the newest catalogue does not have is new, however old it is: a time would say nothing of a
 * source that was never sent.
 */
async function walkOf(
  plan: Plan,
  context: SendingContext,
  first: KnownChanges | string | undefined,
): Promise<WalkPlan> {
  const changedSince = context.everything ? context.changedSince : undefined;
  const walk = await planWalk(plan.scan, plan.taken, { ...context, changedSince }, keptBy(plan.kept));
  return typeof first === 'object' ? { ...walk, changedBytes: first.plan.send.bytes } : walk;
}

/** Why a full walk is due whatever the server has, or undefined. */
function whyWalk(plan: Plan, context: SendingContext, catalogue: Catalogue | undefined): string | undefined {
  if (context.full) return 'it was asked for';
  if (!context.everything) return 'single sources were named';
  if (plan.scan.incomplete !== undefined) return `not everything could be scanned: ${plan.scan.incomplete}`;
  if (catalogue === undefined) return undefined;
  if (catalogue.rules !== plan.identity) return 'what is left out has changed';
  if (context.now.getTime() - catalogue.fullWalkAt > context.checkEveryMs) {
    return `the last one was ${Math.round(context.checkEveryMs / 3_600_000 / 24)} days ago`;
  }
  if (catalogue.fullWalkAt > context.now.getTime()) return 'the clock was set back';
  const again = catalogue.doubtful.find((path) => !plan.kept.some((place) => isWithin(path, place.path)));
  if (again !== undefined) return `what the server has of ${showPath(again)} is not known`;
  return undefined;
}

function compareWith(catalogue: Catalogue, plan: Plan): KnownChanges | string {
  if (plan.taken === undefined) return 'the rules can only be understood by rsync';
  const changes = planChanges(plan.scan, plan.taken, catalogue, keptBy(plan.kept));
  return 'why' in changes ? changes.why : { catalogue, plan: changes };
}
