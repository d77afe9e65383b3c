import { BaseCommand, Flags } from '../cli/base-command.ts';
import { parseDuration } from '../config/units.ts';
import { BytebackError } from '../errors.ts';
import { requireClientName } from '../server/clients.ts';
import { readEvents, type ServerEvent } from '../server/events.ts';
import { openServer } from '../server/open-server.ts';
import { collectSshdRefusals } from '../server/sshd-refusals.ts';

const followMs = 2000;

/** `byteback events`. */
export class EventsCommand extends BaseCommand {
  static override description = [
    'Shows what happened on the server that the admin should know of, oldest first: refusals with the check that failed (the client only hears "refused"), runs that grew or destroyed, and the like.',
    'Many alike in a short time are one line with their number. Log-ins that sshd refused itself are read from its log.',
  ].join('\n\n');
  static override examples = [
    { description: 'Of the last day', command: '<%= me %> --since 1d' },
    { description: 'Why one client was refused', command: '<%= me %> --client web1' },
    { description: 'As they come, until Ctrl-C', command: '<%= me %> --follow' },
  ];
  static override enableJsonFlag = true;
  static override flags = {
    since: Flags.string({
      helpValue: 'TIME',
      description: 'only those after this: an age such as 2h or 7d, or a time such as 2026-11-20T03:00Z',
    }),
    client: Flags.string({ helpValue: 'CLIENT', description: 'only those of this client' }),
    follow: Flags.boolean({ char: 'f', description: 'go on and show new ones as they come', exclusive: ['json'] }),
  };

  async run() {
    const { flags } = await this.parse(EventsCommand);
    const { clock, signal } = this.deps;
    const { config, store } = await openServer(clock);
    const client = flags.client === undefined ? undefined : requireClientName(flags.client);
    let since = flags.since === undefined ? undefined : parseSince(flags.since, clock.now());
    const look = async () => {
      await collectSshdRefusals(store, { clock, user: config.user });
      const now = clock.now();
      const found = await readEvents(store, {
        ...(since === undefined ? {} : { since }),
        uncounted: !flags.follow,
        now,
      });
      const last = found.at(-1)?.at;
      if (last !== undefined) since = new Date(last);
      return client === undefined ? found : found.filter((event) => event.client === client);
    };
    const events = await look();
    this.print(events.map(lineOf).join('\n'));
    while (flags.follow) {
      await clock.sleep(followMs, signal);
      this.print((await look()).map(lineOf).join('\n'));
    }
    return { events };
  }
}

/** @throws BytebackError usage */
function parseSince(text: string, now: Date): Date {
  const ageMs = parseDuration(text);
  const time = ageMs === undefined ? Date.parse(text) : now.getTime() - ageMs;
  if (Number.isFinite(time)) return new Date(time);
  throw new BytebackError('usage', {
    what: `no time: ${JSON.stringify(text)}`,
    why: 'it must be an age such as 2h or 7d, or a time such as 2026-11-20T03:00Z',
  });
}

/** One event in lines that fit a terminal: when, what kind and who; then what, and why. */
function lineOf({ at, kind, client, check, what, why, address, count }: ServerEvent): string {
  const head = [
    `${at.slice(0, 19)}Z`,
    check === undefined ? kind : `${kind} (${check})`,
    client,
    address === undefined ? undefined : `from ${address}`,
    count === undefined ? undefined : `${count} times`,
  ];
  const lines = [head.filter((part) => part !== undefined).join('  '), `    ${what}`];
  return [...lines, ...(why === undefined ? [] : [`    why: ${why}`])].join('\n');
}
