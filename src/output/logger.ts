import type { Log, Progress } from '../system/log.ts';
import { colorsFor, type Terminal } from './colors.ts';
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
  let drawnAt = Number.NEGATIVE_INFINITY;

  const clear = () => {
    if (shown !== '') stream.write(clearLine);
  };
  /** Writes whole lines above the progress line, which is drawn again below them. */
  const write = (text: string) => {
    clear();
    stream.write(`${text}\n`);
    if (shown !== '') stream.write(shown);
  };
  const indented = (text: string, indent: string) => printable(text).replaceAll('\n', `\n${indent}`);

  return {
    step(text) {
      if (level.steps || level.verbose) write(indented(text, '  '));
    },
    info(text) {
      if (level.verbose) write(`  ${indented(text, '  ')}`);
    },
    warn(text) {
      write(`${level.program}: ${colors.yellow('warning:')} ${indented(text, '  ')}`);
    },
    debug(text) {
      if (level.debug) write(colors.dim(`  debug: ${indented(text, '    ')}`));
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
    configure(change) {
      level = { ...level, ...change };
    },
    close() {
      clear();
      shown = '';
    },
  };
}
