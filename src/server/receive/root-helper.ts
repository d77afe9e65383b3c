import * as v from 'valibot';
import { BytebackError } from '../../errors.ts';
import { FailureSchema } from '../../protocol/messages.ts';
import { startAhead } from '../../system/ahead.ts';
import { run } from '../../system/run.ts';

/** The two helpers that sudo lets this user start, without arguments. */
const helpers = {
  snapshot: '/usr/lib/byteback/byteback-snapshot',
  register: '/usr/lib/byteback/byteback-register',
} as const;

/** A snapshot writes back all that is dirty first; pruning after it takes its time. */
const helperTimeoutMs = 3 * 3_600_000;

/** What a helper said: its reply as it came, and the code that goes with it. */
export interface HelperReply {
  readonly json: string;
  readonly exitCode: number;
}

/**
 * Asks a root helper: one JSON object there, one back. For a promise of a request the helper is started ahead of it.
 * @throws BytebackError refused when sudo does not let it start, or it answers with something else.
 */
export async function askRoot(helper: keyof typeof helpers, request: unknown): Promise<HelperReply> {
  const input =
    request instanceof Promise ? request.then((known) => JSON.stringify(known) ?? '') : JSON.stringify(request);
  const { stdout, stderr, exitCode } = await run(['sudo', '-n', helpers[helper]], {
    input,
    accept: Array.from({ length: 256 }, (_, code) => code),
    timeoutMs: helperTimeoutMs,
    maxOutputBytes: 4 * 1024 * 1024,
  });
  const text = stdout.toString('utf8').trim();
  if (!isReply(text)) {
    throw new BytebackError('bug', {
      what: `byteback-${helper} did not answer on the server`,
      why: `exit ${exitCode}${stderr.trim() === '' ? '' : `: ${stderr.trim().split('\n').at(-1)?.slice(0, 300)}`}`,
      fix: 'on the server, run: byteback doctor',
    });
  }
  return { json: text, exitCode };
}

/** A helper that waits longer for what it is to do takes memory for nothing. */
const aheadMs = 10_000;

/** Starts a helper ahead of its request; `ask` goes on with it, or with another one when too much time has passed. */
export function startHelper(helper: keyof typeof helpers): { ask(request: unknown): Promise<HelperReply> } {
  const nothing = undefined as unknown;
  const ahead = startAhead((request: Promise<unknown>) => askRoot(helper, request), { afterMs: aheadMs, nothing });
  return { ask: (request) => ahead.goOn(request) ?? askRoot(helper, request) };
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
