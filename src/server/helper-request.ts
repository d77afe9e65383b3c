import type { Readable } from 'node:stream';
import * as v from 'valibot';
import { ServerConfigError } from '../config/server-config.ts';
import { BytebackError, reasonOf } from '../errors.ts';
import { escapeName } from '../protocol/file-name.ts';
import { type Failure, maxMessageBytes, noRequest, onTheWire } from '../protocol/messages.ts';
import { Refusal } from './refusal.ts';

const newline = 0x0a;

/** No text of a reply is longer: what went wrong may quote what a client sent. */
const maxTextLength = 4000;

function badRequest(why: string): BytebackError {
  return new BytebackError('usage', { what: 'the request is refused', why });
}

/**
 * The messages of a stream, one a line; what stands after the last newline is one, too, and so is nothing at all, of which the one
 * who reads it says what is wrong with it.
 * @throws BytebackError `usage` when one is larger than 1 MiB, or no text.
 */
export async function* readMessages(input: Readable): AsyncGenerator<string, undefined> {
  let chunks: Buffer[] = [];
  let length = 0;
  let any = false;
  const message = () => {
    const bytes = Buffer.concat(chunks);
    chunks = [];
    length = 0;
    any = true;
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch {
      // The decoder's own words name no cause that helps.
      throw badRequest('it is not UTF-8');
    }
  };
  const add = (chunk: Buffer) => {
    length += chunk.length;
    if (length > maxMessageBytes) throw badRequest(`it is larger than ${maxMessageBytes} bytes`);
    chunks.push(chunk);
  };
  for await (const chunk of input) {
    let rest = chunk as Buffer;
    for (let at = rest.indexOf(newline); at >= 0; at = rest.indexOf(newline)) {
      add(rest.subarray(0, at));
      yield message();
      rest = rest.subarray(at + 1);
    }
    if (rest.length > 0) add(rest);
  }
  if (length > 0 || !any) yield message();
}

/**
 * Reads a request: one JSON value that fits the schema, and nothing after it.
 * @throws BytebackError `usage` for everything else.
 */
export function parseRequest<const Schema extends v.GenericSchema>(
  text: string,
  schema: Schema,
): v.InferOutput<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // JSON.parse quotes the input, which a client may have written.
    throw badRequest('it is not JSON');
  }
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw badRequest(`${v.getDotPath(issue) ?? 'it'}: ${issue.message}`);
}

/** Reads the one request of a session or a root helper: one line, and nothing after it. @throws as `parseRequest` does. */
export async function readRequest<const Schema extends v.GenericSchema>(
  input: Readable,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  let request: string | undefined;
  for await (const text of readMessages(input)) {
    if (request !== undefined) throw badRequest('it is more than one line');
    request = text;
  }
  return parseRequest(request ?? '', schema);
}

/** A client that asks for something and then sends no request is not waited for longer. */
const requestTimeoutMs = 60_000;

/** Reads from a stream, which must not take too long. @throws BytebackError `refused` when it does; the stream is closed then. */
export async function withinTime<T>(input: Readable, read: () => Promise<T>): Promise<T> {
  const timer = setTimeout(() => {
    const why = `within ${requestTimeoutMs / 1000} seconds`;
    input.destroy(new BytebackError('refused', { what: noRequest, why }));
  }, requestTimeoutMs);
  try {
    return await read();
  } finally {
    clearTimeout(timer);
  }
}

function shortText(text: string): string {
  return escapeName(text.slice(0, maxTextLength)).slice(0, maxTextLength);
}

/** What is said when a check of the server's failed: nothing that tells a stolen key which one. */
const onlyRefused: Failure = {
  ok: false,
  exit: 'refused',
  what: 'refused',
  fix: 'ask who runs the server: byteback events tells the reason there',
};

/** What server.toml holds, and what is wrong with it, is the admin's and no client's. */
const notServing: Failure = {
  ok: false,
  exit: 'refused',
  what: 'the server cannot serve anybody now',
  why: 'its own settings cannot be used',
  fix: 'ask who runs the server: byteback doctor tells the reason there',
};

/** A failure as it travels. What is no explained failure is a bug; its reason stays on the server. */
export function failureOf(error: unknown): Failure {
  if (error instanceof Refusal && !error.told) return onlyRefused;
  if (error instanceof ServerConfigError) return notServing;
  if (!(error instanceof BytebackError)) {
    return { ok: false, exit: 'bug', what: 'byteback failed on the server', why: shortText(reasonOf(error)) };
  }
  const { what, why, fix } = error.explanation;
  return onTheWire({
    ok: false,
    // Who asked was not interrupted: what it asked for can be asked for again.
    exit: error.exit === 'interrupted' ? 'unreachable' : error.exit,
    what: shortText(what),
    ...(why === undefined ? {} : { why: shortText(why) }),
    ...(fix === undefined ? {} : { fix: shortText(fix) }),
  });
}
