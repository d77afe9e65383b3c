import { Args, BaseCommand } from '../../cli/base-command.ts';
import { requireClientName, showClient } from '../../server/clients.ts';
import { openServer } from '../../server/open-server.ts';

/** `byteback client show`. */
export class ClientShowCommand extends BaseCommand {
  static override description = 'Shows one client: its key, its invite, its snapshots, and where its files lie.';
  static override examples = [{ description: 'What is known of a client', command: '<%= me %> web1.example.net' }];
  static override enableJsonFlag = true;
  static override args = { name: Args.string({ required: true, name: 'NAME', description: "the client's name" }) };

  async run() {
    const { args } = await this.parse(ClientShowCommand);
    const client = await showClient(requireClientName(args.name), await openServer(this.deps.clock));
    const lines = [
      ['client', client.client],
      ['state', client.state],
      ['key', client.fingerprint === null ? 'none' : `${client.keyType} ${client.fingerprint}`],
      ...(client.inviteExpires === null ? [] : [['invite', `until ${client.inviteExpires}`]]),
      ['snapshots', client.snapshots === 0 ? 'none' : `${client.snapshots}, from ${client.oldest} to ${client.newest}`],
      ['directory', client.directory],
    ];
    this.print(lines.map(([title = '', text]) => `${title.padEnd(11)}${text}`).join('\n'));
    return client;
  }
}
