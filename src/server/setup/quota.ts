import { BytebackError } from '../../errors.ts';
import { enableSimpleQuota, quotaMode } from '../../system/btrfs-quota.ts';
import { isMissing } from '../../system/files.ts';
import { listClientNames, storeAt } from '../store.ts';
import type { Step } from './step.ts';

/**
 * Simple quotas, where the admin asks for them: the kernel itself then stops a client at its allowance. They set an
 * incompatible flag on the file system and count nothing that was there before: only for a store without clients.
 */
export function quotaStep(store: string): Step {
  return {
    title: 'quota',
    check: async () => {
      const mode = await quotaMode(store);
      if (mode === 'simple') return undefined;
      if (mode === 'full') {
        throw new BytebackError('refused', {
          what: `${store} has full quotas, not simple ones`,
          why: 'with hundreds of snapshots they make everything slower, ten times and more',
          fix: `turn them off first: btrfs quota disable ${store}`,
        });
      }
      if (await hasClients(store)) {
        throw new BytebackError('refused', {
          what: `simple quotas are not turned on for ${store}`,
          why: 'it holds clients already, and what they have there would be counted for nobody',
          fix: 'leave --quota away, or set up a fresh store with it',
        });
      }
      return 'turn on simple quotas: the kernel stops a client at its allowance (Linux before 6.7 cannot mount the store then)';
    },
    act: () => enableSimpleQuota(store),
  };
}

async function hasClients(store: string): Promise<boolean> {
  try {
    return (await listClientNames(storeAt(store))).length > 0;
  } catch (error) {
    // No store is laid out yet.
    if (isMissing(error)) return false;
    throw error;
  }
}
