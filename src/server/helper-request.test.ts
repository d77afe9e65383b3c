import { Readable } from 'node:stream';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { maxMessageBytes } from '../protocol/messages.ts';
import { readMessages, readRequest } from './helper-request.ts';

const of = (...chunks: (string | Buffer)[]) => Readable.from(chunks.map((chunk) => Buffer.from(chunk)));

async function all(input: Readable): Promise<string[]> {
  const texts: string[] = [];
  for await (const text of readMessages(input)) texts.push(text);
  return texts;
}

describe('the messages of a stream', () => {
  it('are its lines, however they come, with or without a newline at the end', async () => {
    expect(await all(of('one\nt', 'wo\n'))).toEqual(['one', 'two']);
    expect(await all(of('one\ntwo'))).toEqual(['one', 'two']);
    expect(await all(of('\n'))).toEqual(['']);
  });

  it('are one empty message where nothing comes: somebody has to say what is wrong', async () => {
    expect(await all(of())).toEqual(['']);
  });

  it('are refused when they are too large, whether or not they end', async () => {
    const large = Buffer.alloc(maxMessageBytes + 1, 'a');
    await expect(all(of(large))).rejects.toThrow('the request is refused');
    await expect(all(of(large, '\n'))).rejects.toThrow('the request is refused');
    expect(await all(of(large.subarray(1), '\n', large.subarray(1)))).toHaveLength(2);
  });

  it('are refused when they are no text', async () => {
    await expect(all(of(Buffer.from([0xff, 0x0a])))).rejects.toMatchObject({ explanation: { why: 'it is not UTF-8' } });
  });
});

describe('the one request of a session', () => {
  const schema = v.strictObject({ run: v.string() });

  it('is read to its end', async () => {
    expect(await readRequest(of('{"run":', '"a"}\n'), schema)).toEqual({ run: 'a' });
    expect(await readRequest(of('{"run":"a"}'), schema)).toEqual({ run: 'a' });
  });

  it('is refused when more follows, or when it is another', async () => {
    for (const text of ['{"run":"a"}\n{"run":"b"}', '{"run":1}', '{"run":"a"}x', '']) {
      await expect(readRequest(of(text), schema)).rejects.toMatchObject({ exit: 'usage' });
    }
  });
});
