import { readdir, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { serverPaths } from '../../config/paths.ts';
import { reasonOf } from '../../errors.ts';
import { findUser } from '../../system/accounts.ts';
import { isMissing } from '../../system/files.ts';
import type { Log } from '../../system/log.ts';
import { run } from '../../system/run.ts';
import type { Step } from './step.ts';

const cache = join(serverPaths.libDir, 'cache');

/** Node keeps what it compiled apart for each user: the directories of root's that the user has no link to yet. */
async function missingLinks(uid: number): Promise<string[] | undefined> {
  try {
    const names = await readdir(cache);
    const own = names.filter((name) => name.endsWith('-0'));
    if (own.length === 0) return undefined;
    const links = own.map((name) => name.replace(/0$/, String(uid)));
    const there = await Promise.all(links.map((name) => stat(join(cache, name)).catch(() => undefined)));
    return own.filter((_, index) => there[index] === undefined);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/**
 * The packages compile byteback before there is a user for the server; a receiver takes half as long to start when that
 * user has what is compiled, too. He can read it, and not write it.
 */
export function startUpStep(user: string, log: Log): Step {
  let hasTried = false;
  return {
    title: 'start-up',
    check: async () => {
      // It is only faster: where /usr cannot be written, a server works all the same.
      if (hasTried) return undefined;
      const account = await findUser(user);
      const missing = account === undefined ? [] : await missingLinks(account.uid);
      return account !== undefined && missing?.length === 0
        ? undefined
        : `let ${user} start with what is compiled already`;
    },
    act: async () => {
      hasTried = true;
      const account = await findUser(user);
      if (account === undefined) return;
      try {
        const missing = await missingLinks(account.uid);
        if (missing === undefined) await run([join(serverPaths.libDir, 'fill-cache'), user]);
        for (const name of missing ?? []) await symlink(name, join(cache, name.replace(/0$/, String(account.uid))));
      } catch (error) {
        log.warn(`byteback starts more slowly than it could: ${reasonOf(error)}`);
      }
    },
  };
}
