import { describe, expect, it } from 'vitest';
import { decideMounts, type RememberedMount } from './remembered-mounts.ts';

const day = 86_400_000;
const now = Date.parse('2026-11-20T03:00:00Z');
const data: RememberedMount = { path: '/srv/data', source: '/dev/sdb1', seenAt: now - day };
const facts = { now, fstab: new Set<string>(), forgotten: [], mattering: () => true };

describe('a file system that was mounted at the last run', () => {
  it('is kept when it is not mounted now, and stays remembered as it was seen', () => {
    expect(decideMounts([data], [], facts)).toEqual({
      missing: [
        { path: '/srv/data', extent: 'whole', why: '/dev/sdb1 was mounted there on 2026-11-19, and is not now' },
      ],
      remembered: [data],
    });
  });

  it('is remembered anew when it is mounted', () => {
    expect(decideMounts([data], [{ path: '/srv/data', source: '/dev/sdc1' }], facts)).toEqual({
      missing: [],
      remembered: [{ path: '/srv/data', source: '/dev/sdc1', seenAt: now }],
    });
  });

  it.each([
    ['is forgotten on request', data, { forgotten: ['/srv/data'] }, 0],
    ['that no source holds any more, is forgotten', data, { mattering: () => false }, 0],
    ['is kept for 30 days when fstab does not know it', { ...data, seenAt: now - 29 * day }, {}, 1],
    ['is forgotten after that', { ...data, seenAt: now - 31 * day }, {}, 0],
    ['is kept as long as fstab knows it', { ...data, seenAt: now - 400 * day }, { fstab: new Set(['/srv/data']) }, 1],
  ])('%s', (_, mount, further, count) => {
    const { missing, remembered } = decideMounts([mount], [], { ...facts, ...further });
    expect([missing.length, remembered.length]).toEqual([count, count]);
  });
});
