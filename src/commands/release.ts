import { Args, BaseCommand } from '../cli/base-command.ts';
import { requireClientName } from '../server/clients.ts';
import { releaseSnapshot } from '../server/holds.ts';
import { openServer } from '../server/open-server.ts';

/** `byteback release`. */
export class ReleaseCommand extends BaseCommand {
  static override description =
    'Releases a held snapshot: from now on it may be pruned as any other. One that byteback itself held, because the next run looked like a disaster, also lets the pruning of its client go on.';
  static override examples = [{ description: 'Let it go', command: '<%= me %> web1 2026-11-20T030000Z' }];
  static override enableJsonFlag = true;
  static override args = {
    client: Args.string({ required: true, name: 'CLIENT', description: "the client's name" }),
    snapshot: Args.string({ required: true, name: 'SNAPSHOT', description: "the snapshot's name" }),
  };

  async run() {
    const { args } = await this.parse(ReleaseCommand);
    const { store, clock } = await openServer(this.deps.clock);
    const client = requireClientName(args.client);
    const outcome = await releaseSnapshot(store, clock, client, args.snapshot);
    const resumed = outcome.resumed ? `, and ${client} is pruned again` : '';
    this.print(
      outcome.released
        ? `${client} ${args.snapshot} is released${resumed}`
        : `${client} ${args.snapshot} was not held; nothing changed`,
    );
    return { client, snapshot: args.snapshot, ...outcome };
  }
}
