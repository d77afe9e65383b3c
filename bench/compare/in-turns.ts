import type { Bench } from './bench-machine.ts';
import type { Tell } from './case.ts';
import type { Target } from './tool.ts';

/** A tool with its target. */
export interface Runner {
  readonly tool: string;
  readonly target: Target;
}

/** Targets for one tree, all of them, in which nothing is yet. */
export async function targetsFor(bench: Bench, name: string, tree: string): Promise<Runner[]> {
  const runners: Runner[] = [];
  for (const tool of bench.tools) runners.push({ tool: tool.name, target: await tool.target(bench, name, tree) });
  return runners;
}

/** Each tool once, in an order that changes from round to round: none always comes after the same one. */
export async function inTurns(bench: Bench, runners: readonly Runner[], round: number, tell?: Tell): Promise<void> {
  const first = round % Math.max(1, runners.length);
  for (const { tool, target } of [...runners.slice(first), ...runners.slice(0, first)]) {
    await target.dayLater?.();
    const measured = await target.backup();
    if (tell === undefined) bench.log(`  ${tool}: ${measured.seconds.toFixed(2)} s, not counted`);
    else tell(tool, measured);
  }
}

export async function disposeAll(runners: readonly Runner[]): Promise<void> {
  for (const { target } of runners) await target.dispose();
}

/** What was written just before a scan counts as changed once more; nobody backs up in the very second of a change. */
export const settle = () => new Promise((resolve) => setTimeout(resolve, 3000));
