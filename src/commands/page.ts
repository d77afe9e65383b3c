import { BaseCommand, Flags } from '../cli/base-command.ts';
import { BytebackError, reasonOf } from '../errors.ts';
import { renderPage } from '../report/page/page.ts';
import { lookAtServer, statusSources } from '../server/status.ts';
import { readPage } from '../server/status-page.ts';
import { writeForOthers } from '../server/status-refresh.ts';

/** `byteback page`. */
export class PageCommand extends BaseCommand {
  static override description = [
    'Writes one HTML file that shows how this server stands: what somebody should look at, the space and how it was used over time, each client with its snapshots and why each is kept, what would be pruned next, and events. It loads nothing from anywhere, works without JavaScript and on a phone, and is dark where the reader wants it dark.',
    'It names all clients, so let only those read it who may know them. With output in the table [page] of server.toml it is written anew after each run and each prune.',
  ].join('\n\n');
  static override examples = [
    { description: 'Where a web server finds it', command: '<%= me %> --output /var/www/backups/index.html' },
    { description: 'To standard output', command: '<%= me %> > backups.html' },
  ];
  static override flags = {
    output: Flags.string({
      char: 'o',
      helpValue: 'FILE',
      description: 'write it there, replacing the file in one step; without it, to standard output',
    }),
  };

  async run() {
    const { flags } = await this.parse(PageCommand);
    const { clock } = this.deps;
    const sources = await statusSources();
    const page = renderPage(await readPage(await lookAtServer(sources, { clock }), sources, { clock }));
    if (flags.output === undefined) process.stdout.write(page);
    else {
      await writeForOthers(flags.output, page).catch((error: unknown) => {
        throw new BytebackError('usage', { what: reasonOf(error) }, { cause: error });
      });
    }
  }
}
