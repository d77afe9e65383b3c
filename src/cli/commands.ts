import type { Config } from '@oclif/core';
import type { BaseCommand, Invocation } from './base-command.ts';

/** A command's class: what help and main need of it. */
export type CommandClass = (new (
  argv: string[],
  config: Config,
  invocation: Invocation,
) => BaseCommand) &
  Pick<typeof BaseCommand, keyof typeof BaseCommand>;

/** One command of byteback. */
export interface CommandEntry {
  /** The words after `byteback`: "client add". */
  readonly id: string;
  readonly side: 'client' | 'server' | 'both';
  /** One line for the list of commands and the top of the command's own help. */
  readonly summary: string;
  /** True when there is an executable byteback-ID, too. */
  readonly executable?: boolean;
  /** Only the command that is run is loaded. */
  readonly load: () => Promise<CommandClass>;
}

/** All commands, in the order in which help lists them: the one place where a new one is added. */
export const commands: readonly CommandEntry[] = [
  {
    id: 'setup-client',
    side: 'client',
    summary: 'make this machine a client of a server',
    executable: true,
    load: async () => (await import('../commands/setup-client.ts')).SetupClientCommand,
  },
  {
    id: 'backup',
    side: 'client',
    summary: 'send what changed and take a snapshot',
    executable: true,
    load: async () => (await import('../commands/backup.ts')).BackupCommand,
  },
  {
    id: 'setup-server',
    side: 'server',
    summary: 'make this machine a server',
    executable: true,
    load: async () => (await import('../commands/setup-server.ts')).SetupServerCommand,
  },
  {
    id: 'client add',
    side: 'server',
    summary: 'register a client whose key you bring',
    load: async () => (await import('../commands/client/add.ts')).ClientAddCommand,
  },
  {
    id: 'client invite',
    side: 'server',
    summary: 'print the one line to type on a new client',
    load: async () => (await import('../commands/client/invite.ts')).ClientInviteCommand,
  },
  {
    id: 'client list',
    side: 'server',
    summary: 'list the clients',
    load: async () => (await import('../commands/client/list.ts')).ClientListCommand,
  },
  {
    id: 'client show',
    side: 'server',
    summary: 'show one client',
    load: async () => (await import('../commands/client/show.ts')).ClientShowCommand,
  },
  {
    id: 'client revoke',
    side: 'server',
    summary: "take a client's key away",
    load: async () => (await import('../commands/client/revoke.ts')).ClientRevokeCommand,
  },
  {
    id: 'client allow-growth',
    side: 'server',
    summary: 'let the next run of a client be much larger',
    load: async () => (await import('../commands/client/allow-growth.ts')).ClientAllowGrowthCommand,
  },
  {
    id: 'prune',
    side: 'server',
    summary: 'free space in the store, least important first',
    executable: true,
    load: async () => (await import('../commands/prune.ts')).PruneCommand,
  },
  {
    id: 'scrub',
    side: 'server',
    summary: 'read all of the store, and name what is damaged',
    load: async () => (await import('../commands/scrub.ts')).ScrubCommand,
  },
  {
    id: 'hold',
    side: 'server',
    summary: 'keep a snapshot, however full the store is',
    load: async () => (await import('../commands/hold.ts')).HoldCommand,
  },
  {
    id: 'release',
    side: 'server',
    summary: 'let a held snapshot be pruned again',
    load: async () => (await import('../commands/release.ts')).ReleaseCommand,
  },
  {
    id: 'report',
    side: 'server',
    summary: 'show and send the mails about runs, and alerts',
    load: async () => (await import('../commands/report.ts')).ReportCommand,
  },
  {
    id: 'restore',
    side: 'client',
    summary: 'list the versions of files, and bring them back',
    executable: true,
    load: async () => (await import('../commands/restore.ts')).RestoreCommand,
  },
  {
    id: 'verify',
    side: 'client',
    summary: 'compare a whole snapshot with this machine',
    load: async () => (await import('../commands/verify.ts')).VerifyCommand,
  },
  {
    id: 'drill',
    side: 'client',
    summary: 'have the server draw files, and prove that they can be restored',
    load: async () => (await import('../commands/drill.ts')).DrillCommand,
  },
  {
    id: 'status',
    side: 'both',
    summary: 'show how things stand',
    load: async () => (await import('../commands/status.ts')).StatusCommand,
  },
  {
    id: 'page',
    side: 'server',
    summary: 'write a page that shows how the server stands',
    load: async () => (await import('../commands/page.ts')).PageCommand,
  },
  {
    id: 'metrics',
    side: 'server',
    summary: 'write metrics for Prometheus',
    load: async () => (await import('../commands/metrics.ts')).MetricsCommand,
  },
  {
    id: 'events',
    side: 'server',
    summary: 'show what was refused, and what else happened',
    load: async () => (await import('../commands/events.ts')).EventsCommand,
  },
  {
    id: 'doctor',
    side: 'both',
    summary: 'look for what is not well, and say what to do',
    load: async () => (await import('../commands/doctor.ts')).DoctorCommand,
  },
];

/** What a first word stands for that is no command itself. */
export const topics: Readonly<Record<string, string>> = {
  client: 'who may send',
};

/** The command that the first words name, and the words that are left; the longest name wins. */
export function findCommand(words: readonly string[]): { entry: CommandEntry; rest: string[] } | undefined {
  const byLength = commands.toSorted((a, b) => b.id.length - a.id.length);
  for (const entry of byLength) {
    const names = entry.id.split(' ');
    if (names.every((name, index) => words[index] === name)) return { entry, rest: words.slice(names.length) };
  }
  return undefined;
}
