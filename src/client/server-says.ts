import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { ClientNameSchema } from '../protocol/names.ts';
import { writeFileAtomically } from '../system/files.ts';

/** What the server said of this client when it last gave out a run. */
const ServerSaysSchema = v.object({
  /** Its name there. */
  client: v.optional(ClientNameSchema),
  /** How old its newest snapshot may be before it is overdue; null: any age. */
  longestSilenceMs: v.optional(v.nullable(v.number())),
  /** It may be told how a run ended. */
  takesEnds: v.optional(v.boolean()),
});
export type ServerSays = v.InferOutput<typeof ServerSaysSchema>;

const fileOf = (stateDir: string) => join(stateDir, 'server.json');

/** What was said last; nothing when nothing was, or when it cannot be read. */
export async function recallServer(stateDir: string): Promise<ServerSays> {
  try {
    const parsed = v.safeParse(ServerSaysSchema, JSON.parse(await readFile(fileOf(stateDir), 'utf8')));
    return parsed.success ? parsed.output : {};
  } catch {
    // The first run, or a damaged file: the next run writes it anew.
    return {};
  }
}

/** Keeps it, when it is news. */
export async function rememberServer(
  stateDir: string,
  { client, longestSilenceMs, takesEnds }: ServerSays,
): Promise<void> {
  const says = { client, longestSilenceMs, takesEnds };
  const text = `${JSON.stringify(says)}\n`;
  if (`${JSON.stringify(await recallServer(stateDir))}\n` === text) return;
  await writeFileAtomically(fileOf(stateDir), text, { mode: 0o600 });
}
