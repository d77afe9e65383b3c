import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { maxMachineBytes } from '../../protocol/machine.ts';
import { isMissing } from '../../system/files.ts';

/** The manifest at a path, or undefined when there is none. It lies in root's directories, and no link is followed. */
export async function readMachineText(path: string): Promise<string | undefined> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const { size } = await file.stat();
      return size > maxMachineBytes ? undefined : await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
