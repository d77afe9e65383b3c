import { fstatSync, openSync } from 'node:fs';
import { expect, test } from 'vitest';
import { isJournal, journalLines } from './journal.ts';
import { createLogger } from './logger.ts';

test('a descriptor is the journal only when it is the one that systemd named', () => {
  const fd = openSync('/dev/null', 'w');
  const { dev, ino } = fstatSync(fd, { bigint: true });
  expect(isJournal(fd, { JOURNAL_STREAM: `${dev}:${ino}` })).toBe(true);
  expect(isJournal(fd, { JOURNAL_STREAM: `${dev}:1` })).toBe(false);
  expect(isJournal(fd, {})).toBe(false);
  expect(isJournal(99_999, { JOURNAL_STREAM: '1:1' })).toBe(false);
});

test('every line has its priority', () => {
  expect(journalLines('error', 'one\n  why: two\n')).toBe('<3>one\n<3>  why: two\n');
});

test('the log in a journal: steps are told, with run and client on every line, and nothing is drawn', () => {
  let text = '';
  const stream = { isTTY: false, write: (more: string) => (text += more) };
  const log = createLogger({ program: 'byteback-backup', journal: true, debug: true }, stream);
  log.step('scanning /');
  log.about?.({ run: '20261121T030000Z-1', client: 'web1' });
  log.step('sending');
  log.info('only with --verbose');
  log.warn('not copied: /a\nwhy');
  log.debug('+ rsync');
  log.progress({ label: 'sending', doneBytes: 1 });
  expect(text).toBe(
    [
      '<6>scanning /',
      '<6>web1 20261121T030000Z-1: sending',
      '<4>web1 20261121T030000Z-1: byteback-backup: warning: not copied: /a',
      '<4>web1 20261121T030000Z-1:   why',
      '<7>web1 20261121T030000Z-1:   debug: + rsync',
      '',
    ].join('\n'),
  );
});
