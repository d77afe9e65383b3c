import { BaseCommand } from '../cli/base-command.ts';
import { loadClientConfig } from '../config/client-config.ts';
import { clientPaths } from '../config/paths.ts';

/** `byteback status`. */
export class StatusCommand extends BaseCommand {
  static override description =
    'On a client: the last run and the next one. On the server: each client and the space in the store.';
  static override examples = [
    { description: 'The state of this machine', command: '<%= me %>' },
    { description: 'The same for a program', command: '<%= me %> --json' },
  ];
  static override enableJsonFlag = true;

  async run() {
    await this.parse(StatusCommand);
    const config = await loadClientConfig(clientPaths(this.deps.env));
    this.print(`client of ${config.destination}`);
    return { client: { destination: config.destination } };
  }
}
