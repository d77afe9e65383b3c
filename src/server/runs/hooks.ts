import { join } from 'node:path';
import { serverPaths } from '../../config/paths.ts';
import { hooksIn } from '../../hooks/find-hooks.ts';
import { findingsIn } from '../../hooks/hook-findings.ts';
import { hookFailure, runHook } from '../../hooks/run-hook.ts';
import type { HookOutcome } from '../../protocol/messages.ts';
import type { ClientName, RunId, SnapshotName } from '../../protocol/names.ts';
import type { Clock } from '../../system/clock.ts';
import { recordEvent } from '../events.ts';
import { Refusal } from '../refusal.ts';
import type { Store } from '../store.ts';
import { copyRecord, readRecord } from './record.ts';

/** What a hook of the server learns of a run. All of it is checked and the server's own: no text of a client. */
interface HookRun {
  readonly client: ClientName;
  readonly run: RunId;
  readonly status: 'starting' | 'ok' | 'partial';
  readonly snapshot?: SnapshotName;
  readonly snapshotDir?: string;
  readonly expectedBytes?: number;
}

interface HookDeps {
  /** All hooks of one step together end within this; milliseconds. */
  readonly timeoutMs: number;
  readonly hooksDir?: string;
}

/**
 * Runs the programs for all clients, `prepare.d/*`, then those for this one, `prepare.d/CLIENT/*`. A client waits no longer
 * than `timeoutMs` for all of them: those whose turn does not come are told as ended.
 */
async function runHooks(step: 'prepare' | 'complete', about: HookRun, deps: HookDeps): Promise<HookOutcome[]> {
  const directory = join(deps.hooksDir ?? serverPaths.hooksDir, `${step}.d`);
  const hooks = [...(await hooksIn(directory)), ...(await hooksIn(join(directory, about.client)))];
  const deadline = performance.now() + deps.timeoutMs;
  const outcomes: HookOutcome[] = [];
  for (const hook of hooks) {
    const leftMs = deadline - performance.now();
    const outcome: HookOutcome =
      leftMs <= 0
        ? { step, name: hook.name, exitCode: null, timedOut: true, durationMs: 0, output: 'no time was left for it' }
        : await runHook(hook, {
            step,
            timeoutMs: leftMs,
            env: {
              BYTEBACK_CLIENT: about.client,
              BYTEBACK_RUN: about.run,
              BYTEBACK_STATUS: about.status,
              BYTEBACK_SNAPSHOT: about.snapshot ?? '',
              BYTEBACK_SNAPSHOT_DIR: about.snapshotDir ?? '',
              BYTEBACK_EXPECTED_BYTES: String(about.expectedBytes ?? ''),
            },
          });
    outcomes.push(outcome);
    // One that fails at prepare refuses the run; the others could only refuse it again.
    if (step === 'prepare' && hookFailure(outcome) !== undefined) break;
  }
  return outcomes;
}

/** Tells of the hooks of both steps that nobody may execute: they do nothing, and a run goes well without them. */
async function tellPassedOver(
  { client, run }: Pick<HookRun, 'client' | 'run'>,
  { store, clock, hooksDir = serverPaths.hooksDir }: HookDeps & { store: Store; clock: Clock },
): Promise<void> {
  const steps = ['prepare.d', 'complete.d'].map((name) => join(hooksDir, name));
  const findings = await findingsIn(steps.flatMap((step) => [step, join(step, client)]));
  for (const { what, why, fix, isPassedOver } of findings) {
    if (!isPassedOver) continue;
    await recordEvent(store, { at: clock.now().toISOString(), kind: 'hook', client, run, what, why, fix });
  }
}

/** @throws Refusal when one fails: the client learns that, the admin which and why. */
export async function prepareHooks(
  about: Omit<HookRun, 'status'>,
  deps: HookDeps & { store: Store; clock: Clock },
): Promise<HookOutcome[]> {
  await tellPassedOver(about, deps);
  const outcomes = await runHooks('prepare', { ...about, status: 'starting' }, deps);
  const why = outcomes.map(hookFailure).find((one) => one !== undefined);
  if (why === undefined) return outcomes;
  throw new Refusal(
    'hook',
    {
      what: 'a hook on the server refused the run',
      why,
      fix: 'ask who runs the server: byteback events tells the reason there',
    },
    { told: false },
  );
}

/**
 * Runs once for each run, when its snapshot stands and the client has its answer. Whatever becomes of them, the snapshot
 * stays: a failure is an event. Root's copy of the record keeps what they printed.
 */
export async function completeHooks(
  about: { readonly client: ClientName; readonly run: RunId; readonly snapshot: SnapshotName },
  deps: HookDeps & { store: Store; clock: Clock },
): Promise<void> {
  const { store, clock } = deps;
  const record = await readRecord(store.runRecordFile(about.client, about.run));
  if (record === undefined || record.hooks?.some(({ step }) => step === 'complete')) return;
  const snapshotDir = store.snapshotDir(about.client, about.snapshot);
  const outcomes = await runHooks('complete', { ...about, snapshotDir, status: record.status ?? 'ok' }, deps);
  if (outcomes.length === 0) return;
  await copyRecord(store, { ...record, hooks: [...(record.hooks ?? []), ...outcomes] });
  for (const why of outcomes.map(hookFailure).filter((one) => one !== undefined)) {
    const { client, run } = about;
    const what = 'a hook of the server failed after a run; the snapshot stands';
    await recordEvent(store, { at: clock.now().toISOString(), kind: 'hook', client, run, what, why, check: 'hook' });
  }
}
