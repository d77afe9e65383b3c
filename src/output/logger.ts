import type { Log, Progress } from '../system/log.ts';
import { colorsFor, type Terminal } from './colors.ts';
import { journalLines, type Priority } from './journal.ts';
import { printable } from './printable.ts';
import { progressLine } from './progress.ts';

/** How much is said. */
export interface LoggerOptions {
  /** Named before a warning, because cron mails it without saying where it came from: "byteback-backup". */
  readonly program: string;
  /** Steps and details. */
  readonly verbose?: boolean;
  /** Steps only, as set-up shows them. */
  readonly steps?: boolean;
  readonly debug?: boolean;
  /** The stream is the journal's: every line has its priority, and says which run and client it is about. */
  readonly journal?: boolean;
}

/** A log that can be told how much to say once the flags are known, and that leaves no half line behind. */
export interface TerminalLog extends Log {
  configure(options: Partial<LoggerOptions>): void;
  /** Takes the progress line away, for good. */
  close(): void;
}

/** The progress line is drawn at most this often. */
const drawEveryMs = 100;
const clearLine = '\r\u001b[2K';

/** The log on a terminal or in a file: everything goes to one stream, standard error. */
export function createLogger(
  options: LoggerOptions,
  stream: Terminal = process.stderr,
  now: () => number = () => performance.now(),
): TerminalLog {
  const colors = colorsFor(stream);
  let level: LoggerOptions = options;
  let shown = '';
  let subject = '';
  let drawnAt = Number.NEGATIVE_INFINITY;

  const clear = () => {
    if (shown !== '') stream.write(clearLine);
  };
  /** Writes whole lines above the progress line, which is drawn again below them. */
  const write = (text: string, priority: Priority) => {
    if (level.journal) {
      stream.write(journalLines(priority, text, subject));
      return;
    }
    clear();
    stream.write(`${text}\n`);
    if (shown !== '') stream.write(shown);
  };
  const indented = (text: string, indent: string) => printable(text).replaceAll('\n', `\n${indent}`);

  return {
    showsProgress: stream.isTTY === true,
    step(text) {
      // The journal has room for what was done; a person or a mail of cron has not.
      if (level.steps || level.verbose || level.journal) write(indented(text, '  '), 'info');
    },
    info(text) {
      if (level.verbose) write(`  ${indented(text, '  ')}`, 'info');
    },
    warn(text) {
      write(`${level.program}: ${colors.yellow('warning:')} ${indented(text, '  ')}`, 'warning');
    },
    debug(text) {
      if (level.debug) write(colors.dim(`  debug: ${indented(text, '    ')}`), 'debug');
    },
    progress(progress: Progress | undefined) {
      if (stream.isTTY !== true) return;
      if (progress === undefined) {
        clear();
        shown = '';
        drawnAt = Number.NEGATIVE_INFINITY;
        return;
      }
      if (now() - drawnAt < drawEveryMs) return;
      drawnAt = now();
      // One column stays free: a full last column makes some terminals wrap.
      const line = progressLine(progress, (stream.columns ?? 80) - 1);
      if (line === shown) return;
      clear();
      shown = line;
      stream.write(line);
    },
    about({ run, client }) {
      const words = [client, run].filter((word) => word !== undefined).map(printable);
      subject = words.length === 0 ? '' : `${words.join(' ')}: `;
    },
    configure(change) {
      level = { ...level, ...change };
    },
    close() {
      clear();
      shown = '';
    },
  };
}
