import { readFile, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { serverPaths } from '../../config/paths.ts';
import { BytebackError } from '../../errors.ts';
import { isMissing, writeFileAtomically } from '../../system/files.ts';
import { ProgramError, run } from '../../system/run.ts';
import type { Step } from './step.ts';

/** What the user may run as root, with @USER@ for its name; installed with byteback. */
const templatePath = join(serverPaths.libDir, 'templates/sudoers');

/** The rule for a user. @throws BytebackError `usage` when the template is not one. */
export function sudoersText(template: string, user: string): string {
  if (template.includes('@USER@')) return template.replaceAll('@USER@', user);
  throw new BytebackError('usage', {
    what: `${templatePath} is damaged`,
    why: 'it names no user',
    fix: 'install the package byteback again',
  });
}

/** Why sudo would not take its files as they stand, or undefined. */
async function whyBroken(): Promise<string | undefined> {
  try {
    await run(['visudo', '--check', '--quiet', '--strict']);
    return undefined;
  } catch (error) {
    if (!(error instanceof ProgramError) || error.notFound) throw error;
    return error.stderr.trim() || error.explanation.why;
  }
}

/** The rule of sudo for the two helpers. That it works is proven at the end, by using it. */
export function sudoersStep(user: string): Step {
  const path = serverPaths.sudoersFile;
  const wanted = async () => sudoersText(await readFile(templatePath, 'utf8'), user);
  return {
    title: 'sudo',
    check: async () => {
      const current = await readFile(path, 'utf8').catch((error: unknown) => {
        if (isMissing(error)) return undefined;
        throw error;
      });
      return current === (await wanted())
        ? undefined
        : `write ${path}: ${user} may start byteback's two helpers as root`;
    },
    act: async () => {
      // What stands there now is replaced, whatever is wrong with it: the original's was made by hand, with any mode.
      const former = await readFile(path).catch((error: unknown) => {
        if (isMissing(error)) return undefined;
        throw error;
      });
      const formerMode = former === undefined ? 0 : (await stat(path)).mode & 0o7777;
      await writeFileAtomically(path, await wanted(), { mode: 0o440, uid: 0, gid: 0 });
      const why = await whyBroken();
      if (why === undefined) return;
      if (former === undefined) await unlink(path);
      else await writeFileAtomically(path, former, { mode: formerMode, uid: 0, gid: 0 });
      throw new BytebackError('usage', {
        what: `sudo's configuration is broken, with ${path} or without it; that is as it was`,
        why,
        fix: 'correct it until this is silent: visudo -cs',
      });
    },
  };
}
