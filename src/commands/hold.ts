import { Args, BaseCommand, Flags } from '../cli/base-command.ts';
import { requireClientName } from '../server/clients.ts';
import { holdSnapshot } from '../server/holds.ts';
import { openServer } from '../server/open-server.ts';
import { requireSnapshot } from '../server/prune/contents.ts';

/** `byteback hold`. */
export class HoldCommand extends BaseCommand {
  static override description =
    'Holds a snapshot: it is never pruned, however full the store is, until it is released. Its space is not given back meanwhile.';
  static override examples = [
    {
      description: 'Keep what was before an upgrade',
      command: '<%= me %> web1 2026-11-20T030000Z --reason "before the upgrade"',
    },
    { description: 'The newest one', command: '<%= me %> web1 newest' },
  ];
  static override enableJsonFlag = true;
  static override args = {
    client: Args.string({ required: true, name: 'CLIENT', description: "the client's name" }),
    snapshot: Args.string({ required: true, name: 'SNAPSHOT', description: "the snapshot's name, or newest" }),
  };
  static override flags = {
    reason: Flags.string({ helpValue: 'TEXT', default: 'by the admin', description: 'why, for those who come later' }),
  };

  async run() {
    const { args, flags } = await this.parse(HoldCommand);
    const { store, clock } = await openServer(this.deps.clock);
    const client = requireClientName(args.client);
    const snapshot = await requireSnapshot(store, client, args.snapshot);
    await holdSnapshot(store, clock, { client, snapshot, reason: flags.reason, by: 'admin' });
    this.print(`${client} ${snapshot} is held; when it may go: byteback release ${client} ${snapshot}`);
    return { client, snapshot, reason: flags.reason };
  }
}
