import { Args, BaseCommand } from '../../cli/base-command.ts';
import { requireClientName } from '../../server/clients.ts';
import { allowGrowth } from '../../server/holds.ts';
import { openServer } from '../../server/open-server.ts';

/** `byteback client allow-growth`. */
export class ClientAllowGrowthCommand extends BaseCommand {
  static override description =
    "Lets a client's next run be much larger than its runs usually are, once. Room for it is made from history, the client's own at least. Without this such a run is refused when there is no room for it, because it is mostly a mistake: a disk copied into the wrong place, a log that runs wild.";
  static override examples = [{ description: 'web1 has new data that belong there', command: '<%= me %> web1' }];
  static override enableJsonFlag = true;
  static override args = { name: Args.string({ required: true, name: 'NAME', description: "the client's name" }) };

  async run() {
    const { args } = await this.parse(ClientAllowGrowthCommand);
    const { store, clock } = await openServer(this.deps.clock);
    const client = requireClientName(args.name);
    await allowGrowth(store, clock, client);
    this.print(`the next run of ${client} may be as large as it is`);
    return { client };
  }
}
