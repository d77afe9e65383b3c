import { BaseCommand, Flags, sizeBytes } from '../cli/base-command.ts';
import { table } from '../output/table.ts';
import { countInWords, sizeInWords } from '../output/units.ts';
import {
  type Bitrot,
  type Damage,
  placesInWords,
  presentBitrot,
  type ScrubReport,
  scrubStore,
} from '../server/bitrot.ts';
import { openServer } from '../server/open-server.ts';

/** `byteback scrub`. */
export class ScrubCommand extends BaseCommand {
  static override description = [
    'Reads everything in the store and compares it with its checksums (btrfs scrub). What a second copy is kept of, is mended. What cannot be read right any more is named: which file, of which client, in which snapshots.',
    'The next backup of that client sends such a file again; the old snapshots that hold it stay damaged, and are named. A timer runs it every month.',
  ].join('\n\n');
  static override examples = [
    { description: 'Read everything now, at 50 MB a second at most', command: '<%= me %> --limit 50M' },
    { description: 'What the last one found, and what became of it', command: '<%= me %> --list' },
  ];
  static override enableJsonFlag = true;
  static override flags = {
    limit: sizeBytes({ description: 'of each disk, read no more than this in a second' }),
    list: Flags.boolean({ description: 'only say what is known to be damaged', exclusive: ['limit'] }),
  };

  async run(): Promise<ScrubReport | Bitrot> {
    const { flags } = await this.parse(ScrubCommand);
    const { log, clock, signal } = this.deps;
    const { store, account } = await openServer(clock);
    if (flags.list) {
      const bitrot = await presentBitrot(store);
      this.#showDamage(bitrot.damaged);
      const when = bitrot.scrubbedAt === null ? 'never' : bitrot.scrubbedAt.slice(0, 19).concat('Z');
      this.print(`${countInWords(bitrot.damaged.length, 'damaged file')}; the last scrub: ${when}`);
      return bitrot;
    }
    const report = await scrubStore(flags.limit === undefined ? {} : { bytesPerSecond: flags.limit }, {
      store,
      account,
      clock,
      log,
      signal,
    });
    this.#showDamage(report.damaged);
    if (report.unplaced > 0) {
      log.warn(
        `${countInWords(report.unplaced, 'error')} on the disk that belong to no client's file, or whose place is not known`,
      );
    }
    this.print(
      `${sizeInWords(report.scrubbedBytes)} read, ${countInWords(report.errors, 'error')}, ${report.corrected} mended, ${report.uncorrectable} not`,
    );
    if (report.status === 'partial') this.endWith('partial');
    return report;
  }

  #showDamage(damaged: readonly Damage[]): void {
    if (damaged.length === 0) return;
    this.print(
      table(damaged, [
        { title: 'client', text: ({ client }) => client },
        { title: 'damaged', text: ({ path }) => path },
        { title: 'in', text: ({ snapshots }) => placesInWords(snapshots) },
        {
          title: 'the newest state',
          text: ({ current }) =>
            current === 'damaged' ? 'will be sent again' : current === 'whole' ? 'is whole' : 'was sent again',
        },
      ]),
    );
  }
}
