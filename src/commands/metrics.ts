import { BaseCommand, Flags } from '../cli/base-command.ts';
import { BytebackError, reasonOf } from '../errors.ts';
import { metricsText } from '../report/metrics.ts';
import { readServerStatus, statusSources } from '../server/status.ts';
import { writeForOthers } from '../server/status-refresh.ts';
import { version } from '../version.ts';

/** `byteback metrics`. */
export class MetricsCommand extends BaseCommand {
  static override description = [
    "Writes how this server stands as metrics for Prometheus, in the text format that node_exporter's textfile collector reads: the store's space, and each client's last backup, rhythm, size, history and last proven restore.",
    'With output in the table [metrics] of server.toml the file is written anew after each run and each prune. Rules for alerts and a dashboard for Grafana are in the documentation, under monitoring.',
  ].join('\n\n');
  static override examples = [
    {
      description: "Where Debian's node_exporter looks",
      command: '<%= me %> --output /var/lib/prometheus/node-exporter/byteback.prom',
    },
    { description: 'To standard output', command: '<%= me %>' },
  ];
  static override flags = {
    output: Flags.string({
      char: 'o',
      helpValue: 'FILE',
      description: 'write them there, replacing the file in one step; without it, to standard output',
    }),
  };

  async run() {
    const { flags } = await this.parse(MetricsCommand);
    const { clock } = this.deps;
    const status = await readServerStatus(await statusSources(), { clock });
    const text = metricsText(status, { version });
    if (flags.output === undefined) process.stdout.write(text);
    else {
      await writeForOthers(flags.output, text).catch((error: unknown) => {
        throw new BytebackError('usage', { what: reasonOf(error) }, { cause: error });
      });
    }
  }
}
