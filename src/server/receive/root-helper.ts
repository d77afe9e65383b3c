import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { BytebackError, exitCodes } from '../../errors.ts';
import { FailureSchema } from '../../protocol/messages.ts';
import { startDetached } from '../../system/detached.ts';
import { openDialogue } from '../../system/dialogue.ts';
import { run } from '../../system/run.ts';

/** The two helpers that sudo lets this user start, without arguments. */
const helpers = {
  snapshot: '/usr/lib/byteback/byteback-snapshot',
  register: '/usr/lib/byteback/byteback-register',
} as const;

/** A snapshot writes back all that is dirty first; pruning after it takes its time. */
const helperTimeoutMs = 3 * 3_600_000;

/** A helper that has closed its output ends within this time. */
const endingMs = 5000;

const maxReplyBytes = 4 * 1024 * 1024;

/** What a helper said: its reply as it came, and the code that goes with it. */
export interface HelperReply {
  readonly json: string;
  readonly exitCode: number;
}

/**
 * Asks a root helper: one JSON object there, one back.
 * @throws BytebackError refused when sudo does not let it start, or it answers with something else.
 */
export async function askRoot(helper: keyof typeof helpers, request: unknown): Promise<HelperReply> {
  const { stdout, stderr, exitCode } = await run(['sudo', '-n', helpers[helper]], {
    input: JSON.stringify(request),
    accept: Array.from({ length: 256 }, (_, code) => code),
    timeoutMs: helperTimeoutMs,
    maxOutputBytes: maxReplyBytes,
  });
  const text = stdout.toString('utf8').trim();
  if (!isReply(text)) throw noReply(helper, { exitCode, stderr });
  return { json: text, exitCode };
}

/** Has the snapshot helper do something that nobody waits for: it goes on when this session has ended. */
export function tellRoot(request: unknown): void {
  startDetached(['sudo', '-n', helpers.snapshot], JSON.stringify(request));
}

function noReply(helper: string, { exitCode, stderr }: { exitCode: number; stderr: string }): BytebackError {
  // By a signal: it was killed, or ran out of memory. What it was asked for may be done or not, and asking again does no harm.
  if (exitCode > 128) {
    return new BytebackError('unreachable', {
      what: `byteback-${helper} was ended on the server before it answered`,
      why: `by signal ${exitCode - 128}`,
      fix: 'run byteback-backup again; when nobody ended it, look there whether memory ran out: journalctl -k',
    });
  }
  return new BytebackError('bug', {
    what: `byteback-${helper} did not answer on the server`,
    why: `exit ${exitCode}${stderr.trim() === '' ? '' : `: ${stderr.trim().split('\n').at(-1)?.slice(0, 300)}`}`,
    fix: 'on the server, run: byteback doctor',
  });
}

/** The helper that opens and closes runs, started ahead of its request. */
export interface SnapshotHelper {
  /** Once. @throws BytebackError as `askRoot` does. */
  ask(request: unknown): Promise<HelperReply>;
  /** Nothing will be asked. */
  end(): void;
}

/** @param idleMs after so long without a request it is given up, and another one does what it is asked */
export function startSnapshotHelper(idleMs: number): SnapshotHelper {
  const dialogue = openDialogue(['sudo', '-n', helpers.snapshot], { idleMs, maxLineBytes: maxReplyBytes });
  return {
    async ask(request) {
      if (!dialogue.isOpen) return askRoot('snapshot', request);
      const line = await dialogue.ask(JSON.stringify(request), { timeoutMs: helperTimeoutMs, last: true });
      const json = line?.toString('utf8').trim() ?? '';
      if (!isReply(json)) throw noReply('snapshot', await Promise.race([dialogue.ended, stillRunning()]));
      const failure = failureIn({ json, exitCode: 0 });
      return { json, exitCode: failure === undefined ? 0 : exitCodes[failure.exit] };
    },
    end: () => dialogue.end(),
  };
}

/** What is said of a helper that gave no answer and does not end either. */
async function stillRunning(): Promise<{ exitCode: number; stderr: string }> {
  await sleep(endingMs, undefined, { ref: false });
  return { exitCode: 1, stderr: 'it has not ended' };
}

function isReply(text: string): boolean {
  try {
    return v.is(v.object({ ok: v.boolean() }), JSON.parse(text));
  } catch {
    // What is no JSON is no reply.
    return false;
  }
}

/** The failure that a reply is, or undefined when it is none. */
export function failureIn(reply: HelperReply): v.InferOutput<typeof FailureSchema> | undefined {
  const parsed = v.safeParse(FailureSchema, JSON.parse(reply.json));
  return parsed.success ? parsed.output : undefined;
}
