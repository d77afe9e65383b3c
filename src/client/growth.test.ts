import { describe, expect, it } from 'vitest';
import { Growth } from './growth.ts';

describe('Growth', () => {
  it('names a directory as deep as most of the bytes lie', () => {
    const growth = new Growth();
    growth.add('/srv/mail/inbox/1', 100, 1000);
    growth.add('/srv/mail/inbox/2', 100, 1000);
    growth.add('/srv/www/page', 1, 1);
    growth.add('/etc/passwd', 1, 1);
    expect(growth.top(10)).toEqual([
      { path: '/srv/mail/inbox', sentBytes: 200, newBytes: 2000 },
      { path: '/', sentBytes: 2, newBytes: 2 },
    ]);
  });

  it('puts many small ones together where they meet', () => {
    const growth = new Growth();
    for (let i = 0; i < 100; i += 1) growth.add(`/home/u${i}/file`, 10, 10);
    expect(growth.top(10)).toEqual([{ path: '/home', sentBytes: 1000, newBytes: 1000 }]);
  });

  it('names what sent much and what takes much room, and no more than asked for', () => {
    const growth = new Growth();
    growth.add('/vm/disk.img', 900, 10);
    growth.add('/data/new', 5, 900);
    expect(growth.top(10).map(({ path }) => path)).toEqual(['/data', '/vm']);
    expect(growth.top(1)).toEqual([{ path: '/data', sentBytes: 5, newBytes: 900 }]);
  });

  it('tells nothing of a run that sent nothing, and stops at a depth', () => {
    expect(new Growth().top(5)).toEqual([]);
    const growth = new Growth();
    growth.add('/1/2/3/4/5/6/7/8/file', 1, 1);
    expect(growth.top(5)).toEqual([{ path: '/1/2/3/4/5/6', sentBytes: 1, newBytes: 1 }]);
  });
});
