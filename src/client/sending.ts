import { type Catalogue, isIntact, readCatalogues } from '../catalogue/store.ts';
import { type ChangePlan, planChanges, planWalk, type WalkPlan } from './change-plan.ts';
import type { Plan } from './plan.ts';

/** What is compared with what. */
export interface SendingContext {
  readonly stateDir: string;
  readonly workDirectory: string;
  /** Asked for by the person. */
  readonly full: boolean;
  /** False when sources were named on the command line. */
  readonly everything: boolean;
  /** Seconds since 1970; undefined before the first snapshot. */
  readonly changedSince: number | undefined;
  readonly now: Date;
}

/** The changes since one catalogue. */
export interface KnownChanges {
  readonly catalogue: Catalogue;
  readonly plan: ChangePlan;
}

/** What a run will send: the changes when they are known, and a full walk when they are not. */
export interface Sending {
  /** The changes since the newest catalogue; undefined when there is none that helps. */
  readonly changes: KnownChanges | undefined;
  /** The changes since the run that the server says it holds; a text says why they are not known. */
  since(generation: string | null): Promise<KnownChanges | string>;
  /** What a full walk needs; worked out once. */
  walk(): Promise<WalkPlan>;
  /** Whether the scan may become the catalogue. */
  readonly keepsCatalogue: boolean;
}

/** All of the tree is walked on both sides at least this often. */
const fullWalkEveryMs = 30 * 24 * 3_600_000;

/** Decides how much of the tree has to be sent, as far as that is known before the server is asked. */
export async function decideSending(plan: Plan, context: SendingContext): Promise<Sending> {
  const { catalogues, damaged } = await readCatalogues(context.stateDir);
  const told = new Map<Catalogue, KnownChanges | string>();
  const changesSince = async (catalogue: Catalogue): Promise<KnownChanges | string> => {
    const known = told.get(catalogue);
    if (known !== undefined) return known;
    const result = await compareWith(catalogue, plan, context);
    told.set(catalogue, result);
    return result;
  };
  const [newest] = catalogues;
  const first = newest === undefined ? undefined : await changesSince(newest);
  let walk: Promise<WalkPlan> | undefined;
  return {
    changes: typeof first === 'object' ? first : undefined,
    keepsCatalogue: context.everything,
    walk: () => {
      walk ??= planWalk(plan.scan, plan.taken, context);
      return walk;
    },
    since: async (generation) => {
      if (context.full) return 'it was asked for';
      if (!context.everything) return 'single sources were named';
      if (generation === null) return 'the last run did not complete, or there was none';
      const catalogue = catalogues.find(({ run }) => run === generation);
      if (catalogue !== undefined) return changesSince(catalogue);
      return damaged ? 'the catalogue of the last run is damaged' : 'there is no catalogue of the last run';
    },
  };
}

async function compareWith(catalogue: Catalogue, plan: Plan, context: SendingContext): Promise<KnownChanges | string> {
  if (context.full) return 'it was asked for';
  if (!context.everything) return 'single sources were named';
  if (plan.scan.incomplete !== undefined) return `not everything could be scanned: ${plan.scan.incomplete}`;
  if (plan.taken === undefined) return 'the rules can only be understood by rsync';
  if (catalogue.rules !== plan.identity) return 'what is left out has changed';
  if (context.now.getTime() - catalogue.fullWalkAt > fullWalkEveryMs) return 'the last one was 30 days ago';
  if (catalogue.fullWalkAt > context.now.getTime()) return 'the clock was set back';
  if (!(await isIntact(catalogue))) return 'the catalogue of the last run is damaged';
  const changes = planChanges(plan.scan, plan.taken, catalogue);
  return 'why' in changes ? changes.why : { catalogue, plan: changes };
}
