import { describe, expect, test } from 'vitest';
import { errorForm } from './error-form.ts';
import { createLogger } from './logger.ts';
import { printable } from './printable.ts';
import { progressLine } from './progress.ts';
import { table } from './table.ts';

/** A terminal, or a file, that keeps what is written. */
function sink(isTTY: boolean, columns = 80) {
  const written: string[] = [];
  return { isTTY, columns, write: (text: string) => written.push(text), text: () => written.join('') };
}

/** What a person sees of one terminal in the end: carriage returns and erased lines acted on. */
function screen(text: string): string[] {
  return text.split('\n').map((line) => {
    const kept = line.slice(line.lastIndexOf('\u001b[2K') < 0 ? 0 : line.lastIndexOf('\u001b[2K') + 4);
    return kept.replaceAll(/\u001b\[\d*m/g, '');
  });
}

describe('printable', () => {
  test.each([
    ['plain: ä €  é 日本', 'plain: ä €  é 日本'],
    ['two\nlines\tand a tab', 'two\nlines\tand a tab'],
    ['\u001b[2J', '\\x1b[2J'],
    ['\u009b31m', '\\xc2\\x9b31m'],
    ['a\u202eb', 'a\\xe2\\x80\\xaeb'],
    ['a\rb\u0007', 'a\\x0db\\x07'],
    ['an escaped name: a\\x0ab', 'an escaped name: a\\x0ab'],
  ])('%j', (text, shown) => {
    expect(printable(text)).toBe(shown);
  });
});

describe('progressLine', () => {
  const full = {
    label: 'sending',
    doneBytes: 512 * 1024 ** 2,
    totalBytes: 2 * 1024 ** 3,
    bytesPerSecond: 40 * 1024 ** 2,
    remainingMs: 38_400,
    detail: '1,204 of 88,010 files',
  };

  test('all of it on 80 columns', () => {
    expect(progressLine(full, 80)).toBe(
      'sending  [####---------------]  25 %   512 MiB of 2 GiB    40 MiB/s   0:38 left',
    );
  });

  test('the bar does not jump while the numbers change', () => {
    const bars = [2_000, 99_999, 8_888_888, 99_999_999, 1_234_567_890].map((doneBytes) => {
      const line = progressLine({ ...full, doneBytes, bytesPerSecond: doneBytes, remainingMs: doneBytes / 1000 }, 79);
      return [line.indexOf('['), line.indexOf(']')];
    });
    expect(new Set(bars.map(String)).size).toBe(1);
  });

  test('the detail where there is room', () => {
    expect(progressLine(full, 120)).toBe(
      'sending  [#####-----------------]  25 %   512 MiB of 2 GiB    40 MiB/s   0:38 left  1,204 of 88,010 files',
    );
  });

  test('it never gets wider than the terminal', () => {
    for (let columns = 20; columns < 200; columns += 1) {
      expect(progressLine(full, columns).length).toBeLessThanOrEqual(columns);
      expect(progressLine({ label: 'x'.repeat(50), doneBytes: 1 }, columns).length).toBeLessThanOrEqual(columns);
    }
  });

  test('an estimate that was too low stays at 100 %', () => {
    expect(progressLine({ label: 'sending', doneBytes: 3, totalBytes: 2 }, 80)).toContain('100 %');
  });

  test('nothing done of something unknown is not told', () => {
    expect(
      progressLine({ label: 'waiting', doneBytes: 0, remainingMs: 600_000, detail: 'the server is away' }, 80),
    ).toBe('waiting  10:00 left  the server is away');
  });

  test('nothing from outside reaches the terminal', () => {
    expect(progressLine({ label: 'a\nb', doneBytes: 0, detail: `\u001b[2J${'x'.repeat(20)}` }, 80)).not.toMatch(
      /[\n\u001b]/,
    );
  });
});

describe('the log', () => {
  test('says only warnings unless asked', () => {
    const file = sink(false);
    const log = createLogger({ program: 'byteback-backup' }, file);
    log.step('a step');
    log.info('a detail');
    log.debug('argv');
    log.progress({ label: 'sending', doneBytes: 1 });
    log.warn('odd');
    expect(file.text()).toBe('byteback-backup: warning: odd\n');
  });

  test('says more with --verbose and --debug', () => {
    const file = sink(false);
    const log = createLogger({ program: 'byteback' }, file);
    log.configure({ verbose: true });
    log.step('a step');
    log.info('a detail');
    log.debug('hidden');
    log.configure({ debug: true });
    log.debug('rsync -a');
    expect(file.text()).toBe('a step\n  a detail\n  debug: rsync -a\n');
  });

  test('keeps the progress line below all others, and takes it away in the end', () => {
    const terminal = sink(true);
    let now = 0;
    const log = createLogger({ program: 'byteback', verbose: true }, terminal, () => now);
    log.progress({ label: 'sending', doneBytes: 1 });
    log.step('a step');
    expect(screen(terminal.text())).toEqual(['a step', 'sending  1 byte']);
    log.progress({ label: 'sending', doneBytes: 2 });
    expect(screen(terminal.text()).at(-1)).toBe('sending  1 byte');
    now = 200;
    log.progress({ label: 'sending', doneBytes: 2 });
    expect(screen(terminal.text()).at(-1)).toBe('sending  2 bytes');
    log.progress(undefined);
    log.warn('odd');
    log.close();
    expect(screen(terminal.text())).toEqual(['a step', 'byteback: warning: odd', '']);
  });

  test('a name with an escape sequence stays text', () => {
    const file = sink(false);
    createLogger({ program: 'byteback', verbose: true }, file).step('sent \u001b[31mred\r\u009b');
    expect(file.text()).toBe('sent \\x1b[31mred\\x0d\\xc2\\x9b\n');
  });

  test('colours only on a terminal that wants them', () => {
    const error = { what: 'no', why: 'because', fix: 'do' };
    expect(errorForm('byteback', error, sink(false))).toBe('byteback: no\n  why: because\n  fix: do\n');
    const before = { NO_COLOR: process.env.NO_COLOR, TERM: process.env.TERM };
    try {
      delete process.env.NO_COLOR;
      process.env.TERM = 'xterm';
      expect(errorForm('byteback', error, sink(true))).toContain('\u001b[31mno');
      process.env.NO_COLOR = '1';
      expect(errorForm('byteback', error, sink(true))).not.toContain('\u001b');
    } finally {
      for (const [name, value] of Object.entries(before)) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    }
  });
});

test('an error of several lines stays under its word', () => {
  expect(errorForm('byteback', { what: 'no', why: 'one\n  two\nthree\n', fix: '' }, sink(false))).toBe(
    'byteback: no\n  why: one\n       two\n       three\n',
  );
});

test('a table lines up, wide characters and odd names too', () => {
  const rows = [
    { name: 'web1', size: '1.5 GiB' },
    { name: '日本\u001b', size: '12 KiB' },
  ];
  expect(
    table(rows, [
      { title: 'client', text: (row) => row.name },
      { title: 'size', text: (row) => row.size, align: 'right' },
      { title: 'note', text: () => '' },
    ]),
  ).toBe(['CLIENT       SIZE  NOTE', 'web1      1.5 GiB', '日本\\x1b   12 KiB', ''].join('\n'));
});
