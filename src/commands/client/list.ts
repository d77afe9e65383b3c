import { BaseCommand } from '../../cli/base-command.ts';
import { table } from '../../output/table.ts';
import { listClients } from '../../server/clients.ts';
import { openServer } from '../../server/open-server.ts';

/** `byteback client list`. */
export class ClientListCommand extends BaseCommand {
  static override description =
    'Lists everybody who has a key, an invite or files here. A revoked client has files, and can neither send nor restore.';
  static override examples = [{ description: 'Everybody who may send', command: '<%= me %>' }];
  static override enableJsonFlag = true;

  async run() {
    await this.parse(ClientListCommand);
    const clients = await listClients(await openServer(this.deps.clock));
    if (clients.length === 0) this.print('No clients yet. Invite one: byteback client invite NAME');
    else {
      this.print(
        table(clients, [
          { title: 'client', text: ({ client }) => client },
          {
            title: 'state',
            text: ({ state, inviteExpires }) => (state === 'invited' ? `invited until ${inviteExpires}` : state),
          },
          { title: 'snapshots', text: ({ snapshots }) => String(snapshots), align: 'right' },
          { title: 'newest', text: ({ newest }) => newest ?? '-' },
        ]),
      );
    }
    return { clients };
  }
}
