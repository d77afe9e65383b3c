import { setTimeout as sleep } from 'node:timers/promises';
import { reasonOf } from '../errors.ts';
import { escapeName } from '../protocol/file-name.ts';
import type { HookOutcome } from '../protocol/messages.ts';
import { type RunningProgram, start } from '../system/run.ts';
import { whyNotOurs } from './trust.ts';

/** A program to run before or after something. */
export interface Hook {
  /** As it is named in records and messages, escaped. */
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
}

/** What a hook runs with. */
export interface HookContext {
  readonly step: HookOutcome['step'];
  /** Added to its environment; nothing in it comes from the other side unescaped. */
  readonly env: Readonly<Record<string, string>>;
  /** It is ended, with all that it started, after this long. Milliseconds. */
  readonly timeoutMs: number;
  /** Interrupts it. */
  readonly signal?: AbortSignal | undefined;
}

/** Bytes of its output that are kept: the last ones, where a program says why it failed. */
const keptBytes = 4096;
/** After the polite signal, before the other one. */
const graceMs = 2000;
/** A hook may leave a daemon behind that keeps its output open: nobody waits for that. */
const lastWordsMs = 300;

/**
 * Runs one hook to its end, or to the end of its time; never throws. It has no input and a process group of its own, so
 * that what it started ends with it when its time is over. What it leaves running when it ends by itself may stay.
 */
export async function runHook(hook: Hook, { step, env, timeoutMs, signal }: HookContext): Promise<HookOutcome> {
  const begun = performance.now();
  const outcome = (exitCode: number | null, output: string, timedOut = false): HookOutcome => ({
    step,
    name: hook.name,
    exitCode,
    timedOut,
    durationMs: Math.round(performance.now() - begun),
    output,
  });
  const why = await whyNotOurs(hook.argv[0]);
  if (why !== undefined) return outcome(null, `not run: ${escapeName(why)}`);
  let program: RunningProgram;
  try {
    program = start(hook.argv, {
      stdout: 'pipe',
      stderr: 'pipe',
      detached: true,
      cwd: '/',
      env: { LC_ALL: 'C.UTF-8', ...env },
    });
  } catch (error) {
    return outcome(null, `not run: ${escapeName(reasonOf(error))}`);
  }
  const output = keepLast(program);
  const stop = new AbortController();
  const interruption = signal === undefined ? [] : [whenAborted(signal)];
  const over = await Promise.race([
    program.exited,
    sleep(timeoutMs, 'timeout' as const, { signal: stop.signal }).catch(() => 'timeout' as const),
    ...interruption,
  ]);
  stop.abort();
  if (typeof over === 'number') {
    await Promise.race([program.ended, sleep(lastWordsMs)]);
    program.stdout?.destroy();
    program.stderr?.destroy();
    return outcome(over, output());
  }
  killGroup(program.pid, 'SIGTERM');
  await Promise.race([program.exited, sleep(graceMs)]);
  killGroup(program.pid, 'SIGKILL');
  await Promise.race([program.ended, sleep(lastWordsMs)]);
  program.stdout?.destroy();
  program.stderr?.destroy();
  return outcome(null, output(), over === 'timeout');
}

function whenAborted(signal: AbortSignal): Promise<'aborted'> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve('aborted');
    signal.addEventListener('abort', () => resolve('aborted'), { once: true });
  });
}

function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // All of it has ended.
  }
}

/** Collects both streams; gives the last of it, as lines that are safe to show. */
function keepLast({ stdout, stderr }: RunningProgram): () => string {
  let kept = Buffer.alloc(0);
  let cut = false;
  for (const stream of [stdout, stderr]) {
    // A stream that breaks off has said all that it will say.
    stream?.on('error', () => undefined);
    stream?.on('data', (chunk: Buffer) => {
      kept = Buffer.concat([kept, chunk]);
      cut ||= kept.length > keptBytes;
      kept = kept.subarray(-keptBytes);
    });
  }
  return () => {
    const lines = kept.toString('latin1').replace(/\n+$/, '').split('\n');
    const text = lines.map((line) => escapeName(Buffer.from(line, 'latin1'))).join('\n');
    return `${cut ? '…' : ''}${text}`.slice(-4 * keptBytes);
  };
}

/** What went wrong with a hook, or undefined when it ended well. */
export function hookFailure({ name, exitCode, timedOut, durationMs, output }: HookOutcome): string | undefined {
  if (exitCode === 0) return undefined;
  const last = output.split('\n').findLast((line) => line.trim() !== '');
  const said = last === undefined ? '' : `: ${last.slice(0, 300)}`;
  if (timedOut) return `${name} was ended after ${Math.round(durationMs / 1000)} s`;
  return exitCode === null ? `${name} did not end well${said}` : `${name} exited ${exitCode}${said}`;
}
