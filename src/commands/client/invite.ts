import { Args, BaseCommand, durationMs, Flags } from '../../cli/base-command.ts';
import { inviteClient, requireClientName } from '../../server/clients.ts';
import { openServer } from '../../server/open-server.ts';

const dayMs = 86_400_000;

/** `byteback client invite`. */
export class ClientInviteCommand extends BaseCommand {
  static override description = [
    'Prints what to type on the client as root, and below it the invite to paste when that asks. The invite holds a key that works once, until it expires, and the host key of this server, so that nothing has to be compared by eye.',
    'Whoever has the invite can register as this client: pass it on as you would a password, and never as a word of a command, where every user of the client could read it. Without a terminal, byteback-setup-client takes it with --invite-file FILE, or from standard input.',
  ].join('\n\n');
  static override examples = [
    { description: 'A new client', command: '<%= me %> web1.example.net --host backup.example.net' },
    {
      description: 'A client whose machine was replaced',
      command: '<%= me %> web1.example.net --replace --expires 2h',
    },
  ];
  static override enableJsonFlag = true;
  static override alwaysShowSteps = true;
  static override args = { name: Args.string({ required: true, name: 'NAME', description: "the client's name" }) };
  static override flags = {
    host: Flags.string({
      helpValue: 'HOST',
      description: "this server, as the client reaches it; this machine's name by default",
    }),
    port: Flags.integer({
      helpValue: 'NUMBER',
      min: 1,
      max: 65_535,
      description: 'where sshd can be reached; what it is configured to by default',
    }),
    expires: durationMs({
      description: 'how long the invite can be used (default: 24h)',
      default: dayMs,
      defaultHelp: async () => '24h',
    }),
    replace: Flags.boolean({ description: 'the client exists: its key is replaced, its files stay' }),
  };

  async run() {
    const { args, flags } = await this.parse(ClientInviteCommand);
    const { host, port, replace, expires } = flags;
    const { log, clock } = this.deps;
    const invite = await inviteClient(
      requireClientName(args.name),
      { host, port, replace, expiresInMs: expires },
      await openServer(clock),
    );
    log.step(
      `On ${invite.client}, as root, type the first line, and paste the second when it asks; it works once, until ${invite.expires}:`,
    );
    this.print(`${invite.line}\n${invite.token}`);
    return invite;
  }
}
