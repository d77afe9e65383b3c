import { exitCodes } from '../../errors.ts';
import { hookFailure } from '../../hooks/run-hook.ts';
import { escapeName, unescapeName } from '../../protocol/file-name.ts';
import type { EndedRequest, HookOutcome } from '../../protocol/messages.ts';
import type { ClientName } from '../../protocol/names.ts';
import type { Clock } from '../../system/clock.ts';
import { recordEvent } from '../events.ts';
import type { Store } from '../store.ts';
import { changeClientState, readClientState } from './client-state.ts';
import { copyRecord, readRecord, requireClientPlace } from './record.ts';

/** Of all steps together so much output is kept: a client must not fill the disk with words. Characters. */
const mostOutput = 8000;
const mostText = 1000;
/** An end of long ago is of then. */
const longestAgeMs = 366 * 86_400_000;

/** Texts come escaped; should a client send others, they are escaped here. */
const safe = (text: string, most = mostText) => escapeName(unescapeName(text.slice(0, most))).slice(0, most);

function safeSteps(hooks: readonly HookOutcome[]): HookOutcome[] {
  let left = mostOutput;
  return hooks.map((hook) => {
    const output = hook.output
      .split('\n')
      .map((line) => safe(line))
      .join('\n')
      .slice(-Math.max(0, left));
    left -= output.length;
    return { ...hook, name: safe(hook.name, 300), output: left < 0 ? '' : output };
  });
}

/**
 * Records how a run ended, in the client's own words: it is the only one who knows of a run that never came here. Events of a
 * client are counted, and only so many alike get a line, so that nobody is flooded.
 */
export async function recordEnd(
  client: ClientName,
  end: EndedRequest,
  { store, clock }: { store: Store; clock: Clock },
): Promise<void> {
  await requireClientPlace(store, client);
  const now = clock.now();
  const at = now.toISOString();
  const before = await readClientState(store, client);
  // Its answer was lost on the way, and it says so once more.
  if (before.lastEnd?.endedAt === end.endedAt && before.lastEnd.run === end.run) return;
  const steps = safeSteps(end.hooks);
  const what = end.what === undefined ? undefined : safe(end.what);
  const why = end.why === undefined ? undefined : safe(end.why);
  await changeClientState(store, client, (state) => ({
    ...state,
    lastEnd: {
      at,
      run: end.run,
      endedAt: end.endedAt,
      status: end.status,
      exit: end.exit,
      phase: end.phase,
      ...(what === undefined ? {} : { what }),
    },
  }));
  const completed = end.run === null ? undefined : await readRecord(store.runRecordFile(client, end.run));
  const ofRun = end.run === null ? {} : { run: end.run };
  if (completed !== undefined) {
    const { awaitsEnd, ...record } = completed;
    // Told once; what else the client says of that run later changes nothing.
    if (awaitsEnd === true) await copyRecord(store, { ...record, hooks: [...(record.hooks ?? []), ...steps] });
    for (const failure of steps.map(hookFailure).filter((one) => one !== undefined)) {
      const text = `a hook of ${client} failed after a run; the snapshot stands`;
      await recordEvent(store, { at, kind: 'hook', client, ...ofRun, what: text, why: failure, check: 'after', steps });
    }
    return;
  }
  if (end.status !== 'failed') return;
  const current = await readRecord(store.runFile(client));
  const ofThisRun = current !== undefined && current.run === end.run ? current : undefined;
  // The server saw it fail itself, and told that.
  const isTold = (ofThisRun?.transfers.at(-1)?.failure ?? null) !== null;
  if (isTold && steps.every((step) => hookFailure(step) === undefined)) return;
  const onBothSides = [...steps, ...(ofThisRun?.hooks ?? []).filter(({ step }) => step !== 'before')];
  const how = `exit ${end.exit}, ${phases[end.phase]}, ended on the client at ${end.endedAt}`;
  await recordEvent(store, {
    at,
    // Told late it may be over long since.
    happenedAt: new Date(now.getTime() - Math.min(end.ageMs ?? 0, longestAgeMs)).toISOString(),
    kind: 'run-failed',
    client,
    ...ofRun,
    what: `a run of ${client} failed${what === undefined ? '' : `: ${what}`}`,
    why: [why, how].filter(Boolean).join('; '),
    check: `told by the client: ${exitName(end.exit)}`,
    ...(onBothSides.length === 0 ? {} : { steps: onBothSides }),
  });
}

/** Alike ends are counted together; what no client of ours says is alike. */
function exitName(exit: number): string {
  return Object.entries(exitCodes).find(([, code]) => code === exit)?.[0] ?? 'other';
}

const phases: Readonly<Record<EndedRequest['phase'], string>> = {
  before: 'before it began',
  scan: 'before anything was sent',
  run: 'while it ran',
  after: 'after it',
};
