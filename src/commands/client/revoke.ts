import { Args, BaseCommand } from '../../cli/base-command.ts';
import { requireClientName, revokeClient } from '../../server/clients.ts';
import { openServer } from '../../server/open-server.ts';

/** `byteback client revoke`. */
export class ClientRevokeCommand extends BaseCommand {
  static override description =
    "Takes a client's key and invite away: from now on it can neither send nor restore. Its files stay, and age as before. To let it in again: byteback client invite NAME --replace.";
  static override examples = [
    { description: 'The machine is gone; its snapshots stay', command: '<%= me %> web1.example.net' },
  ];
  static override enableJsonFlag = true;
  static override args = { name: Args.string({ required: true, name: 'NAME', description: "the client's name" }) };

  async run() {
    const { args } = await this.parse(ClientRevokeCommand);
    const revocation = await revokeClient(requireClientName(args.name), await openServer(this.deps.clock));
    const taken = [...(revocation.key ? ['its key'] : []), ...(revocation.invite ? ['its invite'] : [])].join(' and ');
    this.print(
      `${revocation.client}: ${taken === '' ? 'it had neither a key nor an invite' : `${taken} taken away`}; its files stay`,
    );
    return revocation;
  }
}
