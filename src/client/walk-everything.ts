import { lstatSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { keepRules, serializeRules } from './filter-rules.ts';
import { type PassesEnd, type TransferContext, together, transfer, type Unread } from './transfer.ts';

/** How a walk of everything ended. */
export interface WalkEnd extends PassesEnd {
  /** Directories (byte strings) that could not be looked into: what the server has there is not known. */
  readonly doubtful: string[];
  /** Why what is gone here may be there still. */
  readonly undeleted?: string;
}

/** New places that cannot be read may come to light each time; more often than this it is not tried. */
const mostRounds = 5;

/**
 * Walks everything on both sides. After an error of the sender rsync deletes nothing any more, wherever it is: so what could not be
 * read is hidden and kept by rules, and the walk made again, until it ends without such an error. All but those places is then as
 * it is here. (--ignore-errors would delete what lies in them.)
 */
export async function walkEverything(
  context: TransferContext,
  intoNothing: boolean,
  workDirectory: string,
): Promise<WalkEnd> {
  const unread = new Map<string, Unread>();
  const hidden = new Set<string>();
  const rules = await readFile(context.rulesFile);
  let { rulesFile } = context;
  const ends: PassesEnd[] = [];
  for (let round = 1; ; round += 1) {
    const here = new Set<string>();
    const pass = { kind: 'everything', ...(intoNothing && round === 1 ? { intoNothing } : {}) } as const;
    const end = await transfer({ ...context, rulesFile, onUnread: (path) => here.add(path) }, pass, workDirectory);
    ends.push(end);
    for (const one of end.unread) unread.set(one.path, one);
    const status = unread.size > 0 || end.status === 'partial' ? 'partial' : 'ok';
    const told: WalkEnd = {
      ...together(ends),
      status,
      unread: [...unread.values()],
      doubtful: directoriesOf(hidden, context.root),
    };
    // What the receiver could not do keeps it from deleting nothing.
    if (end.status === 'ok' || (here.size === 0 && end.unread.length > 0)) return told;
    const more = [...here].filter((path) => path !== '/' && !hidden.has(path));
    if (more.length === 0 || round === mostRounds) {
      return { ...told, undeleted: 'files could not be read, so that rsync did not delete what is gone' };
    }
    for (const path of more) hidden.add(path);
    context.log.info(`walking again without ${hidden.size} files and directories that cannot be read`);
    rulesFile = join(workDirectory, `rules-${round}`);
    await writeFile(rulesFile, Buffer.concat([serializeRules(keepRules([...hidden])), rules]), { mode: 0o600 });
  }
}

/** Those that are directories, or of which that cannot be said. */
function directoriesOf(paths: Iterable<string>, root: string): string[] {
  return [...paths].filter((path) => {
    try {
      return lstatSync(Buffer.from(root + path, 'latin1')).isDirectory();
    } catch {
      return true;
    }
  });
}
