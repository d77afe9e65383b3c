import { describe, expect, it } from 'vitest';
import { profileText, remedyFor } from './namespaces.ts';

const open = { maxUserNamespaces: '63000', unprivilegedClone: '1', appArmorRestricts: '0' };

describe('a machine on which bubblewrap cannot build its sandbox', () => {
  it.each([
    ['has none allowed', { ...open, maxUserNamespaces: '0', appArmorRestricts: '1' }, 'user.max_user_namespaces = 0'],
    ['has them switched off', { ...open, unprivilegedClone: '0' }, 'kernel.unprivileged_userns_clone = 0'],
    ['says why itself', open, 'bwrap: Creating new namespace failed'],
  ])('%s: told to the person', (_what, switches, why) => {
    const remedy = remedyFor(switches, 'bwrap: Creating new namespace failed');
    expect(remedy).toMatchObject({ kind: 'person', why: expect.stringContaining(why) });
  });

  it('has AppArmor in the way: a profile helps', () => {
    expect(remedyFor({ ...open, appArmorRestricts: '1' }, '')).toEqual({ kind: 'profile' });
    expect(profileText).toMatch(/^profile byteback-bwrap \/usr\/bin\/bwrap flags=\(unconfined\) \{\n {2}userns,\n\}$/m);
  });
});
