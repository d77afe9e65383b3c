import { describe, expect, it } from 'vitest';
import { fstabEntry, withFstabEntry } from './mounts.ts';

const fstab = `# /etc/fstab
UUID=1234 / ext4 errors=remount-ro 0 1
/dev/sdb1\t/my\\040store  btrfs  defaults,noatime 0 0
/dev/sdc1 none swap sw
`;
const entry = { source: 'UUID=5678', mountPoint: '/byteback', type: 'btrfs', options: ['noatime', 'nofail'] };

describe('fstab', () => {
  it('is searched by mount point, with escapes and without the last two columns', () => {
    expect(fstabEntry(fstab, '/my store')).toEqual({
      source: '/dev/sdb1',
      mountPoint: '/my store',
      type: 'btrfs',
      options: ['defaults', 'noatime'],
    });
    expect(fstabEntry(fstab, 'none')?.options).toEqual(['sw']);
    expect(fstabEntry(fstab, '/byteback')).toBeUndefined();
    expect(fstabEntry('#UUID=1 /byteback btrfs defaults 0 0\n', '/byteback')).toBeUndefined();
  });

  it('gets a new entry at its end, below a comment', () => {
    expect(withFstabEntry(fstab, entry, 'ours')).toBe(`${fstab}# ours\nUUID=5678 /byteback btrfs noatime,nofail 0 0\n`);
    expect(withFstabEntry('', entry, 'ours')).toBe('# ours\nUUID=5678 /byteback btrfs noatime,nofail 0 0\n');
    expect(withFstabEntry('/dev/a /a ext4', entry, 'ours')).toBe(
      '/dev/a /a ext4\n# ours\nUUID=5678 /byteback btrfs noatime,nofail 0 0\n',
    );
  });

  it('keeps every other line when an entry is replaced', () => {
    const once = withFstabEntry(fstab, entry, 'ours');
    const twice = withFstabEntry(once, { ...entry, options: ['ro'] }, 'ours');
    expect(twice).toBe(once.replace('noatime,nofail', 'ro'));
  });

  it('escapes what would be another column or a comment, and reads it back', () => {
    const odd = { ...entry, source: '/srv/my #1 \\ image\t.img' };
    const text = withFstabEntry('', odd, 'ours');
    expect(fstabEntry(text, '/byteback')).toEqual(odd);
    expect(text).toContain('/srv/my\\040\\0431\\040\\134\\040image\\011.img /byteback');
  });
});
