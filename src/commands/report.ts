import { Args, BaseCommand, Flags } from '../cli/base-command.ts';
import { BytebackError } from '../errors.ts';
import { countInWords, timeInWords } from '../output/units.ts';
import {
  type PreviewedMail,
  previewPost,
  previewRun,
  type QueuedPost,
  readWaiting,
  sendTest,
} from '../server/post/preview.ts';
import { sendPost } from '../server/post/send.ts';

/** `byteback report`. */
export class ReportCommand extends BaseCommand {
  static override description = [
    'Reports of runs and alerts are mailed by themselves: a timer of the server runs this with --send every five minutes, and so does each run when it is done. Without a flag it shows the mail about the last run of a client, or of every client; nothing is sent.',
    'Who gets what stands in server.toml: admin under [mail] for alerts, report and errors for each client. Mails go by the sendmail of this machine, or by the server that smtp names; what does not go waits in /var/spool/byteback and is tried again for five days. No backup ever waits for a mail.',
  ].join('\n\n');
  static override examples = [
    { description: 'Does mail arrive', command: '<%= me %> --test' },
    { description: 'The report of the last run of a client', command: '<%= me %> web1.example.net' },
    {
      description: 'The same as it looks in a mail program',
      command: '<%= me %> web1.example.net --html > report.html',
    },
    { description: 'What would be mailed now, to whom', command: '<%= me %> --dry-run' },
    { description: 'What waits, and why', command: '<%= me %> --queue' },
  ];
  static override enableJsonFlag = true;
  static override args = {
    client: Args.string({ name: 'CLIENT', description: 'the client whose last run is shown; all of them without it' }),
  };
  static override flags = {
    send: Flags.boolean({
      description: 'look for what is new and for overdue clients, and send all that waits',
      exclusive: ['test', 'dry-run', 'queue', 'html'],
    }),
    test: Flags.boolean({
      description: 'send one mail now, and say what became of it',
      exclusive: ['dry-run', 'queue', 'html'],
    }),
    to: Flags.string({
      helpValue: 'ADDRESS',
      description: 'with --test: to this address instead of the admin',
      dependsOn: ['test'],
    }),
    'dry-run': Flags.boolean({ char: 'n', description: 'show what --send would mail now; send nothing' }),
    queue: Flags.boolean({ description: 'list what waits to be sent, and why it did not go', exclusive: ['dry-run'] }),
    html: Flags.boolean({ description: 'print the HTML part instead of the text' }),
  };

  async run() {
    const { args, flags } = await this.parse(ReportCommand);
    const { log, clock } = this.deps;
    if (flags.send) {
      const done = await sendPost({ log, clock });
      if (done !== undefined) log.step(`sent ${countInWords(done.sent, 'message')}, ${done.waiting} wait`);
      return { sent: done?.sent ?? 0, waiting: done?.waiting ?? null };
    }
    if (flags.test) {
      const to = await sendTest(flags.to, { clock });
      this.print(`sent to ${to.join(', ')}: look whether it arrives`);
      return { sent: 1, to };
    }
    if (flags.queue) {
      const waiting = await readWaiting();
      this.print(waiting.length === 0 ? 'nothing waits' : waiting.map(queueText).join('\n'));
      return { waiting };
    }
    const mails = flags['dry-run'] ? await previewPost({ clock, log }) : await previewRun(args.client, { clock });
    if (mails.length === 0 && args.client !== undefined) {
      throw new BytebackError('usage', {
        what: `there is no run of ${args.client} to report`,
        fix: 'byteback client list',
      });
    }
    if (flags.html) this.print(mails.map(({ html }) => html).join('\n'));
    else this.print(mails.length === 0 ? 'nothing to report' : mails.map(mailText).join('\n'));
    return { mails };
  }
}

function mailText({ to, subject, text }: PreviewedMail): string {
  return `To: ${to.length === 0 ? '(nobody)' : to.join(', ')}\nSubject: ${subject}\n\n${text}`;
}

function queueText({ madeAt, what, attempts, nextAt, lastError }: QueuedPost): string {
  const tries =
    attempts === 0
      ? 'not tried yet'
      : `tried ${countInWords(attempts, 'time')}, next at ${timeInWords(new Date(nextAt))}`;
  return `${timeInWords(new Date(madeAt))}  ${what}\n    ${tries}${lastError === undefined ? '' : `: ${lastError}`}`;
}
