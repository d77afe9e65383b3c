import type { Config } from '@oclif/core';
import { exitCodes } from '../errors.ts';
import { version } from '../version.ts';
import { wantsJson } from './base-command.ts';
import type { CommandClass, CommandEntry } from './commands.ts';
import { commandHelp } from './help.ts';
import { reportError } from './report-error.ts';
import { stopOnSignals } from './signals.ts';

/**
 * What oclif asks of its configuration to parse and to render one command. Its own class reads plugins, hooks and themes
 * from files that `$HOME` and BYTEBACK_CONFIG_DIR name, and byteback runs as root; it is not even loaded.
 */
const config = {
  name: 'byteback',
  bin: 'byteback',
  version,
  root: import.meta.dirname,
  topicSeparator: ':',
  platform: 'linux',
  shell: 'sh',
  runHook: async () => ({ successes: [], failures: [] }),
  // No setting of oclif's own is taken from the environment.
  scopedEnvVar: () => undefined,
  scopedEnvVarTrue: () => false,
  scopedEnvVarKey: (key: string) => `BYTEBACK_${key}`,
  scopedEnvVarKeys: (key: string) => [`BYTEBACK_${key}`],
} satisfies Partial<Config> as unknown as Config;

/** Runs one command to its end and returns the code to exit with; never throws. */
export async function runCommand(entry: CommandEntry, argv: string[], program: string): Promise<number> {
  const interruption = stopOnSignals();
  let type: CommandClass | undefined;
  const report = (error: unknown) =>
    exitCodes[
      reportError(error, {
        program,
        json: type !== undefined && wantsJson(type, argv),
        debug: argv.includes('--debug'),
        interruptedBy: interruption.by(),
        flags: [
          ...Object.keys({ ...type?.baseFlags, ...type?.flags }),
          'help',
          ...(type?.enableJsonFlag ? ['json'] : []),
        ],
      })
    ];
  // What nobody waited for failed: whatever else goes on cannot be trusted any more.
  const onStray = (error: unknown) => process.exit(report(error));
  process.on('uncaughtException', onStray);
  try {
    type = await entry.load();
    type.id = entry.id;
    if (asksForHelp(argv)) {
      process.stdout.write(commandHelp(entry, type, config, program));
      return exitCodes.ok;
    }
    const command = new type(argv, config, { program, signal: interruption.signal });
    return exitCodes[await command.execute()];
  } catch (error) {
    return report(error);
  } finally {
    process.off('uncaughtException', onStray);
    interruption.stop();
  }
}

function asksForHelp(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return (end < 0 ? argv : argv.slice(0, end)).some((word) => word === '--help' || word === '-h');
}
