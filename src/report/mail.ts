import type { RunRecord } from '../protocol/run-record.ts';
import type { Block, Item, MailContent, MailDocument } from './mail-document.ts';
import { renderMail } from './mail-render.ts';
import { ageWords, countWords, numberWords, sizeWords, timeWords } from './words.ts';

/** Where a mail comes from. */
export interface MailContext {
  /** The server's own name. */
  readonly server: string;
}

/** A run as a report tells it. */
export type ReportedRun = Pick<
  RunRecord,
  | 'client'
  | 'run'
  | 'preparedAt'
  | 'transfers'
  | 'completedAt'
  | 'snapshot'
  | 'status'
  | 'unread'
  | 'figures'
  | 'resent'
  | 'lastProven'
  | 'grew'
  | 'hooks'
  | 'whole'
>;

/** A program that ran in a step of a run, and the last of what it printed. */
export interface ToldStep {
  readonly step: string;
  readonly name: string;
  readonly exitCode: number | null;
  readonly timedOut: boolean;
  readonly output: string;
}

/** Lines of one step that a mail has; the record on the server has more. */
const mostStepLines = 30;

/** The steps of a run on both sides, with the last of what each printed. */
function stepsBlocks(steps: readonly ToldStep[]): Block[] {
  return steps.map(({ step, name, exitCode, timedOut, output }) => {
    const lines = output.split('\n').filter((line) => line !== '');
    const end = timedOut ? 'its time was over' : exitCode === null ? 'it was not run' : `exit ${exitCode}`;
    const names = lines.slice(-mostStepLines);
    return { kind: 'names', title: `${step}: ${name}: ${end}`, names, more: lines.length - names.length };
  });
}

/** An event as a mail tells it: `ServerEvent` without what only the server needs. */
export interface ToldEvent {
  readonly at: string;
  readonly kind: string;
  readonly client?: string | undefined;
  readonly what: string;
  readonly why?: string | undefined;
  readonly check?: string | undefined;
  /** What ran on either side. */
  readonly steps?: ToldStep[] | undefined;
  /** What to do, where the kind does not say it. */
  readonly fix?: string | undefined;
  readonly count?: number | undefined;
}

/** More names make nobody wiser; the record on the server has them all. */
const mostNames = 20;

const footerOf = ({ server }: MailContext, key: string) =>
  `Sent by byteback on ${server}. Who gets this stands in its /etc/byteback/server.toml, under ${key}.`;

/**
 * The subjects of one server sort by how bad it is, then by client, then by time: ALERT, DIGEST, FAILED, OVERDUE and PARTIAL stand
 * before ok.
 */
function subjectOf({ server }: MailContext, word: string, about: string): string {
  return `byteback ${server}: ${word} ${about}`;
}

/**
 * True when a completed run holds nothing: it ended well, and there is nothing to restore. A run of single sources leaves all else
 * as it was.
 */
export function isEmptyRun({ figures, whole }: Pick<RunRecord, 'figures' | 'whole'>): boolean {
  return whole !== false && figures !== undefined && (figures.files === 0 || figures.totalBytes === 0);
}

/** True when somebody should look at a run: it holds nothing, or not all. */
export function isBadRun(run: ReportedRun): boolean {
  return run.status !== 'ok' || isEmptyRun(run) || hasFailedHook(run);
}

/** A hook that failed after the run leaves the snapshot, and is no run that is ok. */
function hasFailedHook({ hooks = [] }: ReportedRun): boolean {
  return hooks.some(({ exitCode, timedOut }) => exitCode !== 0 || timedOut);
}

/** The report of a run that made a snapshot. */
export function runReport(run: ReportedRun, context: MailContext): MailContent {
  const { figures, status, unread = [] } = run;
  const at = timeWords(run.completedAt ?? run.preparedAt);
  const isEmpty = isEmptyRun(run);
  const word = isEmpty ? 'EMPTY' : status === 'partial' ? 'PARTIAL' : hasFailedHook(run) ? 'HOOK FAILED' : 'ok';
  const sent =
    figures === undefined ? '' : `: ${countWords(figures.sentFiles, 'file')}, ${sizeWords(figures.sentBytes)}`;
  const titles = {
    ok: `${run.client} is backed up`,
    PARTIAL: `${run.client} is backed up, but for ${countWords(unread.length, 'file')}`,
    'HOOK FAILED': `${run.client} is backed up, but a hook failed`,
    EMPTY: `${run.client} sent a backup with nothing in it`,
  };
  return renderMail(subjectOf(context, word, `${run.client} ${at}Z${sent}`), {
    tone: isEmpty ? 'bad' : isBadRun(run) ? 'attention' : 'good',
    title: titles[word],
    subtitle: `${at} UTC, on ${context.server}`,
    blocks: [
      ...(isEmpty ? [emptyBlock(run.client)] : []),
      { kind: 'facts', rows: factsOf(run) },
      ...namesBlock('These files could not be read on the client', unread),
      ...grewBlock(run),
      ...resentBlock(run),
      ...stepsBlocks(run.hooks ?? []),
    ],
    footer: footerOf(context, 'report and errors'),
  });
}

function emptyBlock(client: string): Block {
  const fix = `on ${client}: byteback-backup --dry-run --verbose`;
  const why =
    'the run ended well, but its sources hold no files: a disk that is not mounted, or sources and excludes that leave nothing';
  return { kind: 'items', title: 'What is wrong', items: [{ what: 'There is nothing in it to restore', why, fix }] };
}

function factsOf({ figures, snapshot, preparedAt, run, lastProven, whole }: ReportedRun): [string, string][] {
  const rows: [string, string][] = [['Snapshot', snapshot ?? 'none']];
  if (figures !== undefined) {
    rows.push(
      ['Sent', `${countWords(figures.sentFiles, 'file')}, ${sizeWords(figures.sentBytes)}`],
      ['On the wire', sizeWords(figures.wireBytes)],
      [
        whole === false ? 'In its sources' : 'In the snapshot',
        `${countWords(figures.files, 'file')}, ${sizeWords(figures.totalBytes)}`,
      ],
      [
        'Took',
        figures.durationMs < 60_000
          ? `${Number((figures.durationMs / 1000).toFixed(1))} s`
          : ageWords(figures.durationMs),
      ],
    );
    if (figures.retries > 0) rows.push(['Attempts after the first', numberWords(figures.retries)]);
  }
  if (lastProven !== undefined) {
    rows.push(['Restore last proven', `${timeWords(lastProven.at)} UTC, ${countWords(lastProven.files, 'file')}`]);
  }
  rows.push(['Began', `${timeWords(preparedAt)} UTC`], ['Run', run]);
  return rows;
}

function namesBlock(title: string, names: readonly string[]): Block[] {
  if (names.length === 0) return [];
  const shown = names.slice(0, mostNames);
  return [{ kind: 'names', title, names: shown, more: names.length - shown.length }];
}

/** Directories that are worth naming; the record has more. */
const mostGrown = 5;

/** Where the bytes came from. */
function grewBlock({ grew = [] }: ReportedRun): Block[] {
  const names = grew.slice(0, mostGrown).map(({ path, newBytes }) => `${path}: ${sizeWords(newBytes)} new`);
  return names.length === 0 ? [] : [{ kind: 'names', title: 'Where it came from', names, more: 0 }];
}

/** Compressed files that change as a whole: the store cannot share anything between their versions. */
function resentBlock({ resent = [] }: ReportedRun): Block[] {
  if (resent.length === 0) return [];
  const bytes = resent.reduce((sum, file) => sum + file.sizeBytes, 0);
  const items: Item[] = resent
    .slice(0, mostNames)
    .map(({ path, sizeBytes }) => ({ what: path, label: sizeWords(sizeBytes) }));
  const title = `${countWords(resent.length, 'compressed file')}, ${sizeWords(bytes)}, sent whole again`;
  const advice =
    'Little in them can have changed, but a compressed file changes as a whole, so that each version takes its full size. Leave them uncompressed, as the store compresses by itself, or compress with gzip --rsyncable or zstd --rsyncable.';
  return [
    { kind: 'items', title, items },
    { kind: 'text', text: advice },
  ];
}

// ---- alerts --------------------------------------------------------------------------------------------------------

const kindWords: Readonly<Record<string, string>> = {
  refusal: 'refused',
  growth: 'refused for its size',
  destroys: 'a backup that destroys',
  clock: 'the clock',
  'clock-mended': 'the clock',
  bitrot: 'damaged data',
  drill: 'restore drill',
  overdue: 'overdue',
  empty: 'nothing in it',
  'run-failed': 'failed',
  'pruning-waits': 'pruning waits',
  'pruning-in-vain': 'pruning does not help',
  'pruned-for-room': 'deleted for room',
  'pause-ended': 'pruning goes on',
  'given-back': 'given back',
  hook: 'hook',
  store: 'the store',
  health: 'health',
  state: 'state',
};

/** What to do next, where the event itself does not say it. */
function fixOf({ kind, client }: ToldEvent): string | undefined {
  switch (kind) {
    case 'growth':
      return client === undefined
        ? undefined
        : `byteback client allow-growth ${client}  # if it is meant to be so large`;
    case 'destroys':
      return client === undefined
        ? undefined
        : `byteback status; byteback release ${client} SNAPSHOT  # when all is well there`;
    case 'overdue':
      return client === undefined ? undefined : `on ${client}: byteback status, then byteback-backup --verbose`;
    case 'empty':
      return client === undefined ? undefined : `on ${client}: byteback-backup --dry-run --verbose`;
    case 'run-failed':
      return client === undefined ? undefined : `on ${client}: byteback-backup --verbose`;
    case 'pruning-waits':
      return 'byteback-prune --confirm  # if byteback-prune --dry-run says what you want';
    case 'pruning-in-vain':
      return 'byteback-prune --dry-run; delete there what is not needed, and pruning goes on by itself';
    case 'clock':
      return 'timedatectl status';
    case 'store':
      return 'byteback doctor';
    default:
      return undefined;
  }
}

function itemOf(event: ToldEvent): Item {
  const { at, kind, client, what, why, check, count } = event;
  const times = count === undefined || count === 1 ? '' : ` · ${numberWords(count)} times`;
  const words = `${kindWords[kind] ?? kind}${check === undefined ? '' : ` (${check})`}`;
  const fix = event.fix ?? fixOf(event);
  return {
    label: `${timeWords(at)} · ${words}${client === undefined ? '' : ` · ${client}`}${times}`,
    what,
    ...(why === undefined ? {} : { why }),
    ...(fix === undefined ? {} : { fix }),
  };
}

/** How many things some events tell of. */
export function countEvents(events: readonly ToldEvent[]): number {
  return events.reduce((sum, { count = 1 }) => sum + count, 0);
}

const badKinds = new Set(['destroys', 'bitrot', 'store', 'empty', 'overdue']);

function wordOf(events: readonly ToldEvent[]): string {
  const kinds = new Set(events.map(({ kind }) => kind));
  if (kinds.size !== 1) return 'ALERT';
  return kinds.has('overdue') ? 'OVERDUE' : kinds.has('run-failed') ? 'FAILED' : 'ALERT';
}

function toneOf(events: readonly ToldEvent[]): MailDocument['tone'] {
  return events.some(({ kind }) => badKinds.has(kind)) ? 'bad' : 'attention';
}

/** One mail of one or several events. @param events at least one. */
export function alertMail(events: readonly ToldEvent[], context: MailContext, key = 'mail.admin'): MailContent {
  const [first] = [...events.filter(({ kind }) => badKinds.has(kind)), ...events];
  if (first === undefined) throw new Error('an alert tells of something');
  const more = countEvents(events) - 1;
  const about = more === 0 ? first.what : `${first.what}, and ${numberWords(more)} more`;
  const who = new Set(events.map(({ client }) => client)).size === 1 ? (first.client ?? 'server') : 'several';
  return renderMail(subjectOf(context, wordOf(events), `${who} ${timeWords(first.at)}Z: ${about}`), {
    tone: toneOf(events),
    title: about,
    subtitle: `${timeWords(first.at)} UTC, on ${context.server}`,
    blocks: [...listOf(events), ...(events.length === 1 ? stepsBlocks(first.steps ?? []) : [])],
    footer: footerOf(context, key),
  });
}

/** Events that say the same, as one with their number. */
function merged(events: readonly ToldEvent[]): ToldEvent[] {
  const alike = new Map<string, ToldEvent>();
  for (const event of events) {
    const key = JSON.stringify([event.kind, event.client, event.check, event.what, event.why]);
    const known = alike.get(key);
    alike.set(key, known === undefined ? event : { ...known, count: (known.count ?? 1) + (event.count ?? 1) });
  }
  return [...alike.values()];
}

function listOf(all: readonly ToldEvent[]): Block[] {
  const events = merged(all);
  const [only] = events;
  if (only !== undefined && events.length === 1) {
    // What happened is the title already.
    const { why, ...item } = itemOf(only);
    return [
      {
        kind: 'items',
        title: why === undefined ? 'What happened' : 'Why',
        items: [{ ...item, what: why ?? item.what }],
      },
    ];
  }
  const shown = events.slice(0, mostNames);
  const left = countEvents(events.slice(mostNames));
  const items: Block = { kind: 'items', title: 'What happened', items: shown.map(itemOf) };
  return left === 0 ? [items] : [items, { kind: 'text', text: `And ${numberWords(left)} more: byteback events` }];
}

/** What a digest tells of: alike events, counted. */
export interface CountedEvents {
  readonly count: number;
  readonly first: ToldEvent;
  readonly lastAt: string;
}

/** One mail for all that came while too many mails had gone out already. */
export function digestMail(
  groups: readonly CountedEvents[],
  { total, since, until }: { total: number; since: string; until: string },
  context: MailContext,
): MailContent {
  const most = groups.toSorted((a, b) => b.count - a.count);
  const span = `${timeWords(since)} to ${timeWords(until)} UTC`;
  const items = most.slice(0, mostNames).map(({ count, first, lastAt }): Item => {
    const item = itemOf({ ...first, count: undefined });
    return { ...item, label: `${numberWords(count)} times, the last at ${timeWords(lastAt)} · ${item.label ?? ''}` };
  });
  const left = most.slice(mostNames).reduce((sum, { count }) => sum + count, 0);
  return renderMail(subjectOf(context, 'DIGEST', `${timeWords(until)}Z: ${countWords(total, 'event')}`), {
    tone: toneOf(groups.map(({ first }) => first)),
    title: `${countWords(total, 'event')} in all`,
    subtitle: `${span}, on ${context.server}`,
    blocks: [
      { kind: 'text', text: 'So many came that they are told in one mail. All of them: byteback events' },
      { kind: 'items', title: 'By what they are', items },
      ...(left === 0 ? [] : [{ kind: 'text', text: `And ${numberWords(left)} more of other kinds.` } as const]),
    ],
    footer: footerOf(context, 'mail.admin'),
  });
}

/** What `byteback report --test` sends. */
export function testMail(at: string, context: MailContext): MailContent {
  return renderMail(subjectOf(context, 'ok', `test ${timeWords(at)}Z`), {
    tone: 'good',
    title: 'Mail from byteback arrives',
    subtitle: `${timeWords(at)} UTC, on ${context.server}`,
    blocks: [{ kind: 'text', text: 'Somebody ran: byteback report --test. Reports and alerts take the same way.' }],
    footer: footerOf(context, 'mail'),
  });
}
