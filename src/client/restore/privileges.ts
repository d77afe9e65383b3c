import { writeFile } from 'node:fs/promises';
import type { ListedEntry } from '../../protocol/tree-list.ts';
import { exactPattern, serializeRules } from '../filter-rules.ts';
import type { AskedPull } from './pull.ts';
import type { TreeList } from './tree-list.ts';

/** What a restore on the server leaves out: there it would give a client's users rights on the server. */
export interface LeftOut {
  /** Names of device nodes. */
  readonly devices: number;
  /** Names with the setuid or setgid bit; they come without it. */
  readonly setuid: number;
  /** Names with file capabilities; they come without them. */
  readonly capabilities: number;
}

const capability = 'security.capability=';

export function isDevice({ type }: Pick<ListedEntry, 'type'>): boolean {
  return type === 'block' || type === 'character';
}

/** What becomes of a name; undefined when it does not come. */
export function withoutPrivilege(entry: ListedEntry): ListedEntry | undefined {
  if (isDevice(entry)) return undefined;
  const { mode, attributes } = entry;
  return {
    ...entry,
    mode: mode === null ? null : mode & 0o1777,
    attributes: attributes
      .split(' ')
      .filter((each) => !each.startsWith(capability))
      .join(' '),
  };
}

/**
 * A snapshot's list and its pull, without what is privileged. The top is not in it: the target's own directory stays as it was made.
 * @param file what begins so is ours to write
 */
export async function withoutPrivileges(
  list: TreeList,
  asked: AskedPull,
  file: string,
): Promise<{ readonly tree: TreeList; readonly pull: AskedPull; readonly leftOut: LeftOut }> {
  let [devices, setuid, capabilities] = [0, 0, 0];
  const rules: string[] = [];
  const topNames: string[] = [];
  for await (const entries of list.entries()) {
    for (const entry of entries) {
      const { name, mode, attributes } = entry;
      if (name !== '' && !name.includes('/')) topNames.push(name);
      if (isDevice(entry)) {
        devices += 1;
        rules.push(`- ${exactPattern(`/${name}`)}`);
        continue;
      }
      if (mode !== null && (mode & 0o6000) !== 0 && name !== '') setuid += 1;
      if (attributes.includes(capability)) capabilities += 1;
    }
  }
  const rulesFile = `${file}-rules`;
  await writeFile(rulesFile, serializeRules(rules), { mode: 0o600 });
  let pull: AskedPull = { ...asked, unprivileged: { rulesFile } };
  if (asked.everything === true) {
    // With a list the top itself does not come.
    const listFile = `${file}-tops`;
    await writeFile(listFile, Buffer.from(topNames.map((name) => `${name}\0`).join(''), 'latin1'), { mode: 0o600 });
    pull = { ...pull, everything: false, listFile };
  }
  const tree: TreeList = {
    large: list.large,
    withRights: [],
    labels: 0,
    async *entries() {
      for await (const entries of list.entries()) {
        yield entries.flatMap((entry) => (entry.name === '' ? [] : (withoutPrivilege(entry) ?? [])));
      }
    },
  };
  return { tree, pull, leftOut: { devices, setuid, capabilities } };
}
