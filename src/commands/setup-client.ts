import { randomInt } from 'node:crypto';
import { BaseCommand, Flags, repeated } from '../cli/base-command.ts';
import { readInvite, takeInviteWords } from '../client/setup/invite-source.ts';
import { setupClient } from '../client/setup/setup-client.ts';
import { BytebackError } from '../errors.ts';

/** `byteback-setup-client`. */
export class SetupClientCommand extends BaseCommand {
  static override description = [
    "Makes this machine's key, pins the server's host key, registers, writes the configuration, enables the daily run, and asks the server whether all of it works. Each step is said before it is done; run again, it changes nothing.",
    'To register, the server needs one of three proofs: an administrative key (--identity), an invite that byteback client invite NAME printed there (--invite, which asks for it), or the password of the user byteback there, which ssh asks for.',
    "An alias of ssh's configuration may stand for the host. /etc/byteback/ssh_config, which byteback uses from then on, is yours to change.",
  ].join('\n\n');
  static override examples = [
    {
      description: 'With the line that the server printed; it asks for the invite',
      command: '<%= me %> --destination byteback@backup.example.net: --invite',
    },
    {
      description: 'With an administrative key, by a script',
      command: '<%= me %> --destination byteback@backup.example.net: --identity admin_key --accept-new',
    },
  ];
  static override enableJsonFlag = true;
  static override alwaysShowSteps = true;
  static override flags = {
    destination: Flags.string({
      required: true,
      helpValue: 'USER@HOST:',
      description: 'the server, with the colon at the end',
    }),
    hostname: Flags.string({ helpValue: 'NAME', description: "the client's name, when not the machine's own" }),
    port: Flags.integer({ helpValue: 'NUMBER', min: 1, max: 65_535, description: 'where sshd listens there' }),
    identity: Flags.string({
      helpValue: 'FILE',
      description: 'an administrative key, to register with',
    }),
    // Both are taken out of the command line before it is parsed: oclif knows no flag whose value may be left away.
    invite: Flags.boolean({
      description:
        'register with an invite: asks for it; with - it comes from standard input. Never write it here: others could read it',
    }),
    'invite-file': Flags.string({
      helpValue: 'FILE',
      description: 'a file with the invite, which nobody else may read',
    }),
    'accept-new': Flags.boolean({ description: 'take an unknown host key without asking; never a changed one' }),
    'no-timer': Flags.boolean({ description: 'no daily run', exclusive: ['cron'] }),
    cron: Flags.boolean({ description: 'the daily run by cron, even where systemd runs' }),
    source: repeated({ helpValue: 'PATH', description: 'what to send, written to client.toml; everything by default' }),
    yes: Flags.boolean({
      char: 'y',
      description: 'change the destination of an existing configuration without asking',
    }),
  };

  async run() {
    const { rest, source } = takeInviteWords(this.argv);
    const { flags } = await this.parse(SetupClientCommand, [...rest]);
    if (source !== undefined && flags.identity !== undefined)
      throw new BytebackError('usage', { what: '--identity and --invite cannot be given together' });
    const invite = source === undefined ? undefined : await readInvite(source, this.deps.askSecret);
    const result = await setupClient(
      {
        destination: flags.destination,
        acceptNew: flags['accept-new'],
        timer: flags['no-timer'] ? 'none' : flags.cron ? 'cron' : 'auto',
        yes: flags.yes,
        ...(flags.hostname === undefined ? {} : { hostname: flags.hostname }),
        ...(flags.port === undefined ? {} : { port: flags.port }),
        ...(flags.identity === undefined ? {} : { identity: flags.identity }),
        ...(invite === undefined ? {} : { invite }),
        ...(flags.source === undefined ? {} : { source: flags.source }),
      },
      { ...this.deps, random: (below) => randomInt(below) },
    );
    this.print(
      [
        `${result.client} is a client of ${result.destination} (byteback ${result.serverVersion}); ${result.timer}`,
        'next: byteback-backup --verbose',
      ].join('\n'),
    );
    return result;
  }
}
