import { expect, it } from 'vitest';
import { clientPaths } from '../config/paths.ts';
import { BytebackError } from '../errors.ts';
import type { SnapshotName } from '../protocol/names.ts';
import { explainLocalTrouble, type Progress } from './local-trouble.ts';

const paths = clientPaths({ BYTEBACK_STATE_DIR: '/state' });
const none: Progress = { run: null, isCompleting: false, snapshot: null };
const snapshot = '2026-11-20T030000Z' as SnapshotName;
const error = (code: string, path?: string) => Object.assign(new Error(code), { code, ...(path ? { path } : {}) });

it.each([
  ['no room', error('ENOSPC'), none, /no space is left.*no snapshot was taken/s, /df -h \/state/],
  ['a disk that fails', error('EIO', '/state/x'), none, /input\/output error/, /dmesg/],
  ['read-only', error('EROFS', '/state/x'), none, /can only be read/, /findmnt -T \/state/],
  ['gone', error('ENOENT', '/state/run-1/rules'), none, /it is gone/, /findmnt/],
  ['while it is completed', error('ENOSPC'), { ...none, isCompleting: true }, /whether it was taken tells/, /df/],
  [
    'when the snapshot is there',
    error('ENOSPC'),
    { ...none, isCompleting: true, snapshot },
    /2026-11-20T030000Z was taken/,
    /df/,
  ],
])('%s', (_, thrown, progress, why, fix) => {
  const explained = explainLocalTrouble(thrown, paths, progress);
  expect(explained).toBeInstanceOf(BytebackError);
  expect((explained as BytebackError).exit).toBe('usage');
  expect((explained as BytebackError).explanation.why).toMatch(why);
  expect((explained as BytebackError).explanation.fix).toMatch(fix);
});

it('leaves what is explained already, and what is none of its business', () => {
  const full = new BytebackError('storeFull', { what: 'x' }, { cause: error('ENOSPC') });
  expect(explainLocalTrouble(full, paths, none)).toBe(full);
  const bug = new TypeError('x');
  expect(explainLocalTrouble(bug, paths, none)).toBe(bug);
  const elsewhere = error('ENOENT', '/usr/lib/byteback/x');
  expect(explainLocalTrouble(elsewhere, paths, none)).toBe(elsewhere);
});
