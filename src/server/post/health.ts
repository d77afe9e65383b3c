import type { ServerEvent } from '../events.ts';
import type { HealthFinding } from '../health/check.ts';

const dayMs = 86_400_000;
/** What still stands is told again after a week. */
const remindMs = 7 * dayMs;
/** What was away for less is the same trouble that comes and goes. */
const forgetMs = dayMs;

/** What the health found and nobody was told of, as events, and what to remember. What an event tells already is left out. Pure. */
export function newFindings(
  findings: readonly HealthFinding[],
  before: Readonly<Record<string, string>>,
  now: Date,
): { events: ServerEvent[]; told: Record<string, string> } {
  const nowMs = now.getTime();
  const age = (at: string) => Math.abs(nowMs - Date.parse(at));
  const at = now.toISOString();
  const events: ServerEvent[] = [];
  const told = Object.fromEntries(Object.entries(before).filter(([, time]) => age(time) < remindMs));
  const standing = new Set<string>();
  for (const { id, client, what, fix, isTold } of findings) {
    if (isTold === true) continue;
    const key = `${id} ${client ?? ''}`;
    standing.add(key);
    if (told[key] !== undefined) continue;
    told[key] = at;
    const about = client === undefined ? {} : { client };
    events.push({ at, kind: 'health', ...about, what, check: id, ...(fix === undefined ? {} : { fix }) });
  }
  for (const [key, time] of Object.entries(told)) if (!standing.has(key) && age(time) >= forgetMs) delete told[key];
  return { events, told };
}
