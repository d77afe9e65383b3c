import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { ClientConfig } from '../config/client-config.ts';
import type { ClientPaths } from '../config/paths.ts';
import { BytebackError } from '../errors.ts';
import { hookOf, hooksIn } from '../hooks/find-hooks.ts';
import { findingsIn, findingsOfNamed, type HookFinding } from '../hooks/hook-findings.ts';
import { type Hook, hookFailure, runHook } from '../hooks/run-hook.ts';
import type { HookOutcome } from '../protocol/messages.ts';
import type { RunId, SnapshotName } from '../protocol/names.ts';
import type { Log } from '../system/log.ts';

/** How a run ended, for the hooks after it. */
export interface RunEnd {
  readonly status: 'ok' | 'partial' | 'failed' | 'interrupted';
  readonly run: RunId | null;
  readonly snapshot: SnapshotName | null;
}

/** The client's own programs before and after one run, and what became of them. */
export interface ClientHooks {
  readonly outcomes: readonly HookOutcome[];
  /** @throws BytebackError hookFailed when one fails; those behind it are not run. */
  before(): Promise<void>;
  /** Whether any is to be run after the run. */
  hasAfter(): Promise<boolean>;
  /** Runs all of them, whatever fails, and only the first time that it is called. */
  after(end: RunEnd): Promise<void>;
}

/** An interrupted command is ended as it stands after a minute; its hooks must be through by then. */
const interruptedTimeoutMs = 45_000;

export function clientHooks(
  config: Pick<ClientConfig, 'before' | 'after' | 'hookTimeoutMs'>,
  paths: ClientPaths,
  { log, signal }: { log: Log; signal: AbortSignal },
): ClientHooks {
  const outcomes: HookOutcome[] = [];
  let afterDone = false;
  const run = async (step: 'before' | 'after', hook: Hook, end: RunEnd | undefined): Promise<string | undefined> => {
    log.step(`${step} the run: ${hook.name}`);
    const outcome = await runHook(hook, {
      step,
      timeoutMs: signal.aborted ? Math.min(config.hookTimeoutMs, interruptedTimeoutMs) : config.hookTimeoutMs,
      env: {
        BYTEBACK_RUN: end?.run ?? '',
        BYTEBACK_CLIENT: await ownName(paths),
        BYTEBACK_STATUS: end?.status ?? 'starting',
        BYTEBACK_SNAPSHOT: end?.snapshot ?? '',
      },
      signal: step === 'before' ? signal : undefined,
    });
    outcomes.push(outcome);
    for (const line of outcome.output.split('\n').filter((text) => text !== '')) log.info(`${hook.name}: ${line}`);
    return hookFailure(outcome);
  };
  return {
    outcomes,
    async before() {
      const { configDir, hooksDir } = paths;
      // The original's own directory stands beside the configuration.
      const directories = [join(configDir, 'pre-backup.d'), join(hooksDir, 'before.d')];
      for (const { what, why, isPassedOver } of await findingsOfHooks(config, paths)) {
        // Of one that cannot be run the run itself tells.
        if (isPassedOver) log.warn(`${what}: ${why}`);
      }
      for (const hook of [...(await allIn(directories)), ...config.before.map(hookOf)]) {
        const why = await run('before', hook, undefined);
        signal.throwIfAborted();
        if (why === undefined) continue;
        throw new BytebackError('hookFailed', {
          what: 'a hook before the run failed, so that nothing was sent',
          why,
          fix: `run ${hook.name} by hand to see what is wrong; it is run before each backup`,
        });
      }
    },
    async hasAfter() {
      const { configDir, hooksDir } = paths;
      const all = await allIn([join(hooksDir, 'after.d'), join(configDir, 'post-backup.d')]);
      return config.after.length + all.length > 0;
    },
    async after(end) {
      if (afterDone) return;
      afterDone = true;
      const { configDir, hooksDir } = paths;
      const directories = [join(hooksDir, 'after.d'), join(configDir, 'post-backup.d')];
      for (const hook of [...config.after.map(hookOf), ...(await allIn(directories))]) {
        const why = await run('after', hook, end);
        if (why !== undefined) log.warn(`a hook after the run failed: ${why}`);
      }
    },
  };
}

/** The hooks of a client that would not run, or are passed over; nothing is started. */
export async function findingsOfHooks(
  config: Pick<ClientConfig, 'before' | 'after'>,
  { configDir, hooksDir, clientToml }: ClientPaths,
): Promise<HookFinding[]> {
  const directories = ['pre-backup.d', 'post-backup.d'].map((name) => join(configDir, name));
  directories.push(...['before.d', 'after.d'].map((name) => join(hooksDir, name)));
  const named = [...config.before, ...config.after].map(hookOf);
  return [...(await findingsOfNamed(named, clientToml)), ...(await findingsIn(directories))];
}

async function allIn(directories: readonly string[]): Promise<Hook[]> {
  return (await Promise.all(directories.map(hooksIn))).flat();
}

/** The name that this client was registered with, as the comment of its key tells; else the machine's. */
async function ownName({ key }: ClientPaths): Promise<string> {
  try {
    const comment = /byteback client ([a-z0-9.-]+)\s*$/.exec(await readFile(`${key}.pub`, 'utf8'));
    return comment?.[1] ?? hostname();
  } catch {
    // A key that was brought from elsewhere may have no public half here.
    return hostname();
  }
}
