import { Args, BaseCommand, Flags } from '../../cli/base-command.ts';
import { addClient, requireClientName } from '../../server/clients.ts';
import { openServer } from '../../server/open-server.ts';

/** `byteback client add`. */
export class ClientAddCommand extends BaseCommand {
  static override description =
    'Registers a client whose key you bring, for those who distribute keys themselves. On the client, byteback-setup-client then finds itself registered.';
  static override examples = [
    { description: 'A key that was copied here', command: '<%= me %> web1.example.net --key web1.pub' },
  ];
  static override enableJsonFlag = true;
  static override args = { name: Args.string({ required: true, name: 'NAME', description: "the client's name" }) };
  static override flags = {
    key: Flags.string({ required: true, helpValue: 'FILE', description: 'its public key, one line' }),
    replace: Flags.boolean({ description: 'give an existing client this key instead of its own' }),
  };

  async run() {
    const { args, flags } = await this.parse(ClientAddCommand);
    const name = requireClientName(args.name);
    const client = await addClient(name, flags.key, { replace: flags.replace }, await openServer(this.deps.clock));
    this.print(`${client.client} is registered with ${client.fingerprint}`);
    return client;
  }
}
