import * as v from 'valibot';
import { BytebackError, exitNameNamed } from '../errors.ts';
import { escapeName } from '../protocol/file-name.ts';
import {
  type Failure,
  FailureSchema,
  maxMessageBytes,
  maxRowBytes,
  refusalFixPrefix,
  refusalKindPrefix,
} from '../protocol/messages.ts';
import type { SshConnection } from '../system/ssh.ts';

/** As long as the server gives itself for the longest of its look-ups, and then some. */
const answerTimeoutMs = 600_000;

/** What the server answered instead of doing what it was asked: its own words and its own exit. */
export class ServerFailure extends BytebackError {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.exit, {
      what: escapeName(failure.what),
      ...(failure.why === undefined ? {} : { why: escapeName(failure.why) }),
      ...(failure.fix === undefined ? {} : { fix: escapeName(failure.fix) }),
    });
    this.name = 'ServerFailure';
    this.failure = failure;
  }
}

/**
 * Asks the server one thing: one JSON object there, one back.
 * @throws ServerFailure when it refuses; SshError when it cannot be reached; BytebackError (refused) when what answers
 * is no byteback server.
 */
export async function ask<Schema extends v.GenericSchema>(
  connection: SshConnection,
  command: string,
  request: unknown,
  schema: Schema,
  options: { timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<v.InferOutput<Schema>> {
  const input = request === undefined ? '' : request instanceof Uint8Array ? request : JSON.stringify(request);
  const result = await connection.exec(command, { ...options, input });
  return parseReply(connection.target.host, command, result, schema);
}

/**
 * The same for what a person waits for: the answer is taken when it is there, and the end of its session not waited for.
 * @throws as `ask` does.
 */
export async function askAndGoOn<Schema extends v.GenericSchema>(
  connection: SshConnection,
  command: string,
  request: unknown,
  schema: Schema,
  { signal }: { signal: AbortSignal },
): Promise<v.InferOutput<Schema>> {
  const session = connection.converse(command, { maxLineBytes: maxMessageBytes, signal });
  const answering = session.ask(request === undefined ? '' : JSON.stringify(request), { timeoutMs: answerTimeoutMs });
  // There is no other question.
  session.end();
  const answer = await answering;
  const { host } = connection.target;
  if (answer === undefined) return accept(host, command, undefined, schema, await session.ended);
  return accept(host, command, parseJson(answer.toString('utf8')), schema, { stderr: '', exitCode: 0 });
}

/**
 * Asks the server for something that comes in lines, and gives them as they come, a piece of the stream at a time.
 * @returns what the last line says.
 * @throws as `ask` does.
 */
export async function* askForRows<Row extends v.GenericSchema, End extends v.GenericSchema>(
  connection: SshConnection,
  command: string,
  request: unknown,
  { row, end }: { row: Row; end: End },
  { signal }: { signal: AbortSignal },
): AsyncGenerator<v.InferOutput<Row>[], v.InferOutput<End>> {
  const streamed = connection.stream(command, { input: JSON.stringify(request), signal });
  streamed.stdout.setEncoding('utf8');
  let rest = '';
  let last: unknown;
  for await (const chunk of streamed.stdout as AsyncIterable<string>) {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > maxRowBytes) break;
    const rows: v.InferOutput<Row>[] = [];
    for (const line of lines) {
      const value = parseJson(line);
      const parsed = v.safeParse(row, value);
      if (parsed.success) rows.push(parsed.output);
      // Only the last line is no row; or the one before it, too, when what wrote the rows was ended in the middle of one.
      else last = value;
    }
    if (rows.length > 0) yield rows;
  }
  const { exitCode, stderr } = await streamed.end();
  return accept(connection.target.host, command, last, end, { exitCode, stderr });
}

/** The typed reply in what a command printed, or the failure in it, thrown. */
export function parseReply<Schema extends v.GenericSchema>(
  host: string,
  command: string,
  result: { stdout: Uint8Array; stderr: string; exitCode: number },
  schema: Schema,
): v.InferOutput<Schema> {
  const value =
    result.stdout.length > maxMessageBytes ? undefined : parseJson(Buffer.from(result.stdout).toString('utf8'));
  return accept(host, command, value, schema, result);
}

function accept<Schema extends v.GenericSchema>(
  host: string,
  command: string,
  value: unknown,
  schema: Schema,
  result: { stderr: string; exitCode: number },
): v.InferOutput<Schema> {
  const failure = v.safeParse(FailureSchema, value);
  if (failure.success) throw new ServerFailure(failure.output);
  const reply = v.safeParse(schema, value);
  if (reply.success && result.exitCode === 0) return reply.output;
  const said = result.stderr.trim().split('\n').at(-1) ?? '';
  throw new BytebackError('refused', {
    what: `${host} did not answer ${command.split(' ')[0]} as a byteback server does`,
    why: `exit ${result.exitCode}${said === '' ? '' : `: ${escapeName(said.slice(0, 500))}`}`,
    fix: 'check that the destination names the byteback user of a byteback server, and that both run versions that fit; on a server that is not set up yet, run: byteback-setup-server',
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // What is no JSON is no reply; the caller says so.
    return undefined;
  }
}

/**
 * The failure in the one line that the server leaves on standard error when it refuses or ends a session that moves files
 * (exit 76): standard output is the data's then.
 */
export function refusalIn(stderr: string): Failure | undefined {
  const line = /^byteback: (.+)$/m.exec(stderr)?.[1];
  if (line === undefined) return undefined;
  const [what = line, ...why] = line.split(': ');
  const after = (prefix: string) =>
    stderr
      .split('\n')
      .find((each) => each.startsWith(prefix))
      ?.slice(prefix.length)
      .trim();
  const known = exitNameNamed(after(refusalKindPrefix));
  if (known !== undefined) {
    const fix = after(refusalFixPrefix);
    return {
      ok: false,
      exit: known,
      what,
      ...(why.length === 0 ? {} : { why: why.join(': ') }),
      ...(fix === undefined ? {} : { fix }),
    };
  }
  // A server of an earlier version says it by its words alone.
  const exit = /^another run of .* is going on/.test(line)
    ? 'locked'
    : /^the store is full/.test(line)
      ? 'storeFull'
      : 'refused';
  return { ok: false, exit, what, ...(why.length === 0 ? {} : { why: why.join(': ') }) };
}
