import { BaseCommand, Flags, repeated, sizeBytes } from '../cli/base-command.ts';
import { type SetupServerReport, setupServer } from '../server/setup/setup-server.ts';

/** `byteback-setup-server`. */
export class SetupServerCommand extends BaseCommand {
  static override description = [
    'Sets up the store, the user, sshd, sudo and the hourly timer, each only where it is not so already, and tries all of it at the end. Each step is said before it is taken. Run it again at any time: what is as it should be is left alone.',
    'The store is a disk (--device), an image file (--image), or a btrfs that is mounted at --store. What holds data is never formatted without --force; what is in use never is.',
  ].join('\n\n');
  static override examples = [
    {
      description: 'A disk, and a key that may register clients',
      command: '<%= me %> --device /dev/sdb --admin-key ops.pub',
    },
    { description: 'An image file, to try it out', command: '<%= me %> --image /srv/byteback.img --size 100G' },
  ];
  static override enableJsonFlag = true;
  static override alwaysShowSteps = true;
  static override flags = {
    store: Flags.string({ helpValue: 'DIR', description: 'mount point of the store (default: /byteback)' }),
    device: Flags.string({ helpValue: 'DEV', description: 'disk or partition for the store', exclusive: ['image'] }),
    image: Flags.string({ helpValue: 'FILE', description: 'image file for the store; made if it does not exist' }),
    size: sizeBytes({ description: 'size of a new image file, such as 100G', dependsOn: ['image'] }),
    user: Flags.string({
      helpValue: 'NAME',
      description: 'the dedicated user that clients log in as (default: byteback)',
    }),
    'admin-key': repeated({
      helpValue: 'FILE',
      description: 'public key that may register new clients, and do nothing else; repeatable',
    }),
    quota: Flags.boolean({
      description:
        'on a fresh store, have the kernel stop each client exactly at its allowance (simple quotas; Linux 6.7 or later)',
    }),
    yes: Flags.boolean({ char: 'y', description: 'answer all questions with yes' }),
    force: Flags.boolean({ description: 'format the disk or image even if it holds data, which is lost' }),
    'dry-run': Flags.boolean({ char: 'n', description: 'say what would be done, and do nothing' }),
  };

  override async run(): Promise<SetupServerReport> {
    const { flags } = await this.parse(SetupServerCommand);
    const report = await setupServer(
      {
        store: flags.store,
        user: flags.user,
        device: flags.device,
        image: flags.image,
        sizeBytes: flags.size,
        adminKeyFiles: flags['admin-key'] ?? [],
        yes: flags.yes,
        force: flags.force,
        quota: flags.quota,
        dryRun: flags['dry-run'],
      },
      this.deps,
    );
    this.print(summaryOf(report));
    return report;
  }
}

function summaryOf({ changed, dryRun, store, user }: SetupServerReport): string {
  if (dryRun) return changed === 0 ? 'Nothing would be changed.' : `${changed} of these steps would be taken.`;
  const head =
    changed === 0
      ? 'Nothing had to be changed, and all of it works.'
      : `The server works: store ${store}, user ${user}.`;
  return `${head}\nNext, for each client: byteback client invite NAME`;
}
