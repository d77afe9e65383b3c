import type { Log } from './log.ts';
import { start } from './run.ts';

/**
 * A log for programs that nobody looks at: steps and warnings go to the system's log, by logger(1). Lines are sent one
 * after the other by one logger; a system without one, or a log that cannot take any more, is no reason to fail.
 * @param tag the program's name there.
 */
export function openJournal(tag: string): Log & { close(): Promise<void> } {
  let logger: ReturnType<typeof start> | undefined;
  const say = (priority: 'notice' | 'warning', text: string) => {
    try {
      logger ??= start(['logger', '--tag', tag, '--prio-prefix', '--id'], { stdin: 'pipe', timeoutMs: 0 });
      // Nobody may be listening by now.
      logger.stdin?.on('error', () => undefined);
      const level = priority === 'warning' ? 28 : 29;
      logger.stdin?.write(`<${level}>${text.replaceAll('\n', ' ')}\n`);
    } catch {
      // There is no logger(1): what was done stands in the ledger all the same.
      logger = undefined;
    }
  };
  const nothing = () => undefined;
  return {
    step: (text) => say('notice', text),
    info: nothing,
    warn: (text) => say('warning', text),
    debug: nothing,
    progress: nothing,
    close: async () => {
      logger?.stdin?.end();
      await logger?.ended;
    },
  };
}
