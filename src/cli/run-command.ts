import { Config } from '@oclif/core/config';
import { exitCodes } from '../errors.ts';
import { version } from '../version.ts';
import { wantsJson } from './base-command.ts';
import type { CommandClass, CommandEntry } from './commands.ts';
import { reportError } from './report-error.ts';
import { stopOnSignals } from './signals.ts';

/**
 * oclif's configuration of a program that has no plugins, hooks and themes. By default oclif reads all of these from
 * files that `$HOME` and BYTEBACK_CONFIG_DIR name, and byteback runs as root; what would look for them is not even loaded
 * (packaging/build.ts).
 */
class FixedConfig extends Config {
  override async load(): Promise<void> {
    this.name = 'byteback';
    this.bin = 'byteback';
    this.version = version;
    this.root = import.meta.dirname;
    this.topicSeparator = ' ';
    this.platform = 'linux';
    this.shell = 'sh';
  }

  override async runHook(): Promise<never> {
    return { successes: [], failures: [] } as never;
  }
}

async function loadConfig(): Promise<Config> {
  const config = new FixedConfig({ root: import.meta.dirname });
  await config.load();
  return config;
}

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
    const config = await loadConfig();
    if (asksForHelp(argv)) {
      const { commandHelp } = await import('./help.ts');
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
