import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { BytebackError } from '../errors.ts';
import { type ReportContext, reportError } from './report-error.ts';

let out = '';
let err = '';
beforeEach(() => {
  out = '';
  err = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += text;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += text;
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

const context: ReportContext = { program: 'byteback-backup', json: false, debug: false, flags: [] };

test('what is explained', () => {
  const error = new BytebackError('unreachable', {
    what: 'cannot reach byteback@vault',
    why: 'ssh exited 255: Connection refused',
    fix: 'check that sshd runs on vault, then run: ssh byteback@vault',
  });
  expect(reportError(error, context)).toBe('unreachable');
  expect(err).toBe(
    [
      'byteback-backup: cannot reach byteback@vault',
      '  why: ssh exited 255: Connection refused',
      '  fix: check that sshd runs on vault, then run: ssh byteback@vault',
      '',
    ].join('\n'),
  );
  expect(out).toBe('');
});

test('a bug says sorry, and shows where only with --debug', () => {
  expect(reportError(new TypeError('x is not a function'), context)).toBe('bug');
  expect(err).toContain(
    'sorry, this is a bug in byteback\n  why: x is not a function\n  fix: please report it; run it again with --debug',
  );
  expect(err).not.toContain('report-error.test.ts');
  reportError(new TypeError('x is not a function'), { ...context, debug: true });
  expect(err).toContain('report-error.test.ts');
});

test('an interruption is one whatever was thrown', () => {
  expect(reportError(new TypeError('aborted'), { ...context, interruptedBy: 'SIGTERM' })).toBe('interrupted');
  expect(err).toBe('byteback-backup: interrupted\n  why: by SIGTERM\n  fix: run it again: byteback-backup\n');
});

test('an interruption says how far it had come, when that is known', () => {
  const error = new BytebackError('interrupted', { what: 'interrupted', why: 'no snapshot was taken', fix: 'again' });
  expect(reportError(error, { ...context, interruptedBy: 'SIGINT' })).toBe('interrupted');
  expect(err).toBe('byteback-backup: interrupted\n  why: by SIGINT; no snapshot was taken\n  fix: again\n');
});

test('JSON is one object on standard output', () => {
  expect(reportError(new BytebackError('refused', { what: 'no' }), { ...context, json: true })).toBe('refused');
  expect(JSON.parse(out)).toEqual({ ok: false, exit: 'refused', exitCode: 12, what: 'no' });
  expect(err).toBe('');
});

test('a usage error without a fix points to the help; others are left as they are', () => {
  reportError(new BytebackError('usage', { what: 'no' }), context);
  expect(err).toContain('fix: byteback-backup --help');
  err = '';
  reportError(new BytebackError('locked', { what: 'no' }), context);
  expect(err).toBe('byteback-backup: no\n');
});

test('what the machine refuses is no bug', () => {
  const denied = Object.assign(new Error('EACCES: permission denied'), {
    code: 'EACCES',
    path: '/var/lib/x\u001b',
    syscall: 'open',
  });
  expect(reportError(denied, context)).toBe('usage');
  expect(err).toBe('byteback-backup: cannot open /var/lib/x\\x1b\n  why: permission denied\n  fix: run it as root\n');
  const full = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', path: '/var', syscall: 'mkdir' });
  expect(reportError(full, context)).toBe('usage');
  // A code that nobody foresaw, or no path to look at, is still one.
  expect(reportError(Object.assign(new Error('EBADF'), { code: 'EBADF', path: '/x' }), context)).toBe('bug');
  expect(reportError(Object.assign(new Error('EACCES'), { code: 'EACCES' }), context)).toBe('bug');
});

test('anything may be thrown', () => {
  expect(reportError('text', context)).toBe('bug');
  expect(reportError(undefined, context)).toBe('bug');
});
