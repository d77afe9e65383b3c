import type { Readable } from 'node:stream';
import * as v from 'valibot';
import { BytebackError, reasonOf } from '../errors.ts';
import { escapeName } from '../protocol/file-name.ts';
import { type Failure, maxMessageBytes } from '../protocol/messages.ts';
import { Refusal } from './refusal.ts';

/** No text of a reply is longer: what went wrong may quote what a client sent. */
const maxTextLength = 4000;

function badRequest(why: string): BytebackError {
  return new BytebackError('usage', { what: 'the request is refused', why });
}

/** The bytes of one message, to the end of the stream. @throws BytebackError `usage` when it is larger than 1 MiB. */
async function readMessage(input: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of input) {
    length += (chunk as Buffer).length;
    if (length > maxMessageBytes) throw badRequest(`it is larger than ${maxMessageBytes} bytes`);
    chunks.push(chunk as Buffer);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    // The decoder's own words name no cause that helps.
    throw badRequest('it is not UTF-8');
  }
}

/**
 * Reads the one request of a root helper: one JSON value that fits the schema, and nothing after it.
 * @throws BytebackError `usage` for everything else.
 */
export async function readRequest<const Schema extends v.GenericSchema>(
  input: Readable,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  const text = await readMessage(input);
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

/** A failure as it travels. What is no explained failure is a bug; its reason stays on the server. */
export function failureOf(error: unknown): Failure {
  if (error instanceof Refusal && !error.told) return onlyRefused;
  if (!(error instanceof BytebackError)) {
    return { ok: false, exit: 'bug', what: 'byteback failed on the server', why: shortText(reasonOf(error)) };
  }
  const { what, why, fix } = error.explanation;
  return {
    ok: false,
    exit: error.exit,
    what: shortText(what),
    ...(why === undefined ? {} : { why: shortText(why) }),
    ...(fix === undefined ? {} : { fix: shortText(fix) }),
  };
}
