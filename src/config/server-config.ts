import * as v from 'valibot';
import { BytebackError, type Explanation } from '../errors.ts';
import { type ClientName, ClientNameSchema } from '../protocol/names.ts';
import { readLastGood, rememberGood } from './last-good.ts';
import { serverPaths } from './paths.ts';
import { parseWindow } from './time-window.ts';
import { parseTomlText, readIfPresent } from './toml-file.ts';
import {
  CleanPath,
  DurationMs,
  MailAddress,
  Network,
  oneOrMore,
  Percent,
  SmtpAddress,
  WebAddress,
  wholeNumber,
} from './values.ts';

/** What a server's configuration says, defaults filled in. */
export interface ServerConfig {
  /** The mount point of the store. */
  readonly store: string;
  /** The dedicated unprivileged user. */
  readonly user: string;
  /** Of one client; a client's policy may say otherwise. */
  readonly snapshotsPerDay: number;
  /** A session without progress is ended after this long. */
  readonly idleTimeoutMs: number;
  /** All hooks of one step of one run end within this. */
  readonly hookTimeoutMs: number;
  readonly prune: PruneConfig;
  /** Where the metrics are written after each run and prune; undefined: nowhere. */
  readonly metricsOutput?: string;
  /** Where the page is written after each run and prune; undefined: nowhere. */
  readonly pageOutput?: string;
  readonly mail: MailConfig;
  /** Some client's runs are told of when they begin. */
  readonly hasPings?: boolean;
  /** Where alerts that concern no single client are posted: the web hook of `[default]`. */
  readonly webhook?: string;
  /** The same without what is a secret or root's alone; for `openTextOf`. */
  readonly open?: object;
  /** The names that have a table of their own. */
  readonly clientTables?: readonly string[];
  /** What is wrong with server.toml; these are then the last good settings. */
  readonly problem?: Explanation;
  policyOf(client: ClientName): ClientPolicy;
}

/** How mails leave this machine, and who administers it. */
export interface MailConfig {
  /** Undefined: byteback at this machine's name. */
  readonly from?: string;
  /** Who hears of refusals and of everything that needs a person. */
  readonly admin: readonly string[];
  /** `smtp://` or `smtps://`; undefined: by the machine's own sendmail. It may hold a password, so it is never logged. */
  readonly smtp?: string;
  /** Its first line is the password for `smtp`. */
  readonly smtpPasswordFile?: string;
}

export interface PruneConfig {
  /** Pruning begins when less than this is free. */
  readonly startPercent: number;
  /** It goes on until this much is free. */
  readonly stopPercent: number;
  /** The newest snapshots of a client that are never pruned. */
  readonly keepLast: number;
  /** A run that needs room and is larger than so many times the client's usual ones is refused. */
  readonly growthFactor: number;
}

/** What a client's key may be used for. `transfer` holds what belongs to it; `restore` also lists versions. */
export const rights = ['prepare', 'transfer', 'complete', 'restore'] as const;
export type Right = (typeof rights)[number];

/** What holds for one client: its own table over `[default]` over the built-in defaults. */
export interface ClientPolicy {
  /** Its share of the disk against the other clients'. */
  readonly weight: number;
  /** What to keep, such as "7d 4w 13m"; undefined: as much as fits. */
  readonly keep?: string;
  /** Snapshots older than this go even when there is room, unless they are protected; undefined: no such limit. */
  readonly maxAgeMs?: number;
  /** Addresses and networks it may come from; empty: any. */
  readonly from: string[];
  /** When it may do anything at all, see time-window.ts; empty: any time. */
  readonly window: string[];
  readonly allow: Right[];
  /** Who gets a report of each run; empty: nobody. */
  readonly report: string[];
  /** Who hears of runs that failed or are incomplete or overdue; undefined: the admin. */
  readonly errors?: string[];
  /** A snapshot is expected this often; undefined: daily, or as often as it has been so far; null: never. */
  readonly expectMs?: number | null;
  /** Pinged when a run begins (/start), ends (as it is) and fails (/fail). */
  readonly ping?: string;
  /** Gets a JSON object of each run and of each alert. */
  readonly webhook?: string;
  readonly snapshotsPerDay?: number;
}

/** Defaults of everything that a server may leave out. */
export const serverDefaults = {
  store: '/byteback',
  user: 'byteback',
  snapshotsPerDay: 48,
  idleTimeoutMs: 10 * 60_000,
  hookTimeoutMs: 5 * 60_000,
  prune: { startPercent: 5, stopPercent: 10, keepLast: 3, growthFactor: 10 },
  mail: { admin: ['root'] },
} as const;

const policyEntries = {
  weight: v.optional(
    v.pipe(
      v.number(),
      v.minValue(0.01, 'it must be from 0.01 to 1000'),
      v.maxValue(1000, 'it must be from 0.01 to 1000'),
    ),
  ),
  keep: v.optional(
    v.pipe(
      v.string(),
      v.regex(
        /^\d{1,4}[hdwmqy](?: \d{1,4}[hdwmqy])*$/,
        'it must be numbers of hours, days, weeks, months, quarters or years, such as "7d 4w 13m"',
      ),
    ),
  ),
  max_age: v.optional(v.pipe(DurationMs, v.minValue(24 * 3_600_000, 'it must be a day at least, such as "400d"'))),
  from: v.optional(oneOrMore(Network)),
  window: v.optional(
    oneOrMore(
      v.pipe(
        v.string(),
        v.check(
          (text) => parseWindow(text) !== undefined,
          'it must be a time of day and a tolerance, or a span, and may name a time zone: "02:00±30m", "22:00-06:00 Europe/Berlin"',
        ),
      ),
    ),
  ),
  allow: v.optional(v.array(v.picklist(rights))),
  report: v.optional(oneOrMore(MailAddress)),
  errors: v.optional(oneOrMore(MailAddress)),
  expect: v.optional(v.union([v.literal('never'), DurationMs])),
  ping: v.optional(WebAddress),
  webhook: v.optional(WebAddress),
  snapshots_per_day: v.optional(wholeNumber(1, 10_000)),
};

const ServerToml = v.strictObject({
  store: v.optional(CleanPath),
  user: v.optional(
    v.pipe(v.string(), v.regex(/^[a-z_][a-z0-9_-]{0,31}$/, 'it must be the name of a user of this machine')),
  ),
  snapshots_per_day: v.optional(wholeNumber(1, 10_000)),
  idle_timeout: v.optional(DurationMs),
  // A client waits for an hour at most.
  hook_timeout: v.optional(v.pipe(DurationMs, v.maxValue(30 * 60_000, 'it must be 30m at most: clients wait for it'))),
  prune: v.optional(
    v.pipe(
      v.strictObject({
        start: v.optional(Percent),
        stop: v.optional(Percent),
        keep_last: v.optional(wholeNumber(1, 10_000)),
        growth_factor: v.optional(
          v.pipe(
            v.number(),
            v.minValue(1, 'it must be from 1 to 10000'),
            v.maxValue(10_000, 'it must be from 1 to 10000'),
          ),
        ),
      }),
      v.forward(
        v.check(
          (prune) =>
            (prune.start ?? serverDefaults.prune.startPercent) < (prune.stop ?? serverDefaults.prune.stopPercent),
          'pruning must stop at more free space than it starts at: start is less than stop',
        ),
        ['start'],
      ),
    ),
  ),
  mail: v.optional(
    v.strictObject({
      from: v.optional(MailAddress),
      admin: v.optional(oneOrMore(MailAddress)),
      smtp: v.optional(SmtpAddress),
      smtp_password_file: v.optional(CleanPath),
    }),
  ),
  metrics: v.optional(v.strictObject({ output: v.optional(CleanPath) })),
  page: v.optional(v.strictObject({ output: v.optional(CleanPath) })),
  default: v.optional(v.strictObject(policyEntries)),
  client: v.optional(v.record(ClientNameSchema, v.strictObject(policyEntries))),
});

type Toml = v.InferOutput<typeof ServerToml>;
type PolicyToml = NonNullable<Toml['default']>;

/** Tables and keys that hold secrets (addresses that whoever knows them can use) or are nobody's business but root's. */
const rootsTables = ['mail', 'metrics', 'page'] as const;
const rootsKeys = ['ping', 'webhook', 'report', 'errors'] as const;

function without<Key extends string, Value extends object>(value: Value, keys: readonly Key[]): Omit<Value, Key> {
  return Object.fromEntries(Object.entries(value).filter(([key]) => !keys.some((one) => one === key))) as Omit<
    Value,
    Key
  >;
}

/** What the receiving user may know of server.toml: all but root's. */
function withoutSecrets(toml: Toml): Toml {
  const { default: all, client, ...rest } = without(toml, rootsTables);
  return {
    ...rest,
    ...(all === undefined ? {} : { default: without(all, rootsKeys) }),
    ...(client === undefined
      ? {}
      : {
          client: Object.fromEntries(
            Object.entries(client).map(([name, its]) => [name, without(its ?? {}, rootsKeys)]),
          ),
        }),
  } as Toml;
}

/** server.toml cannot be used. Its words are for those who administer this server, never for a client. */
export class ServerConfigError extends BytebackError {}

/**
 * Reads `server.toml`. While it has an error in it, the settings that were good hold on, and `problem` says what is wrong: a
 * typo must not stop the backups of everybody. Root keeps the last good text.
 * @throws ServerConfigError (usage) with file, line and key when something is wrong and nothing good is known, or when this
 * machine is no server.
 */
export async function loadServerConfig(
  path: string = serverPaths.serverToml,
  lastGood: string | undefined = path === serverPaths.serverToml ? serverPaths.lastGoodToml : undefined,
): Promise<ServerConfig> {
  const { text, config, problem } = await readPresent(path);
  if (config !== undefined) {
    if (lastGood !== undefined) await rememberGood(lastGood, text, path);
    return config;
  }
  const good = lastGood === undefined ? undefined : await readLastGood(lastGood);
  if (good === undefined) throw problem;
  try {
    return { ...parseServerConfig(lastGood ?? path, good), problem: problem.explanation };
  } catch {
    // An older version may have known keys that this one does not.
    throw problem;
  }
}

/** Reads `server.toml` as it is now. @throws ServerConfigError as above, whatever was good before. */
export async function loadPresentServerConfig(path: string = serverPaths.serverToml): Promise<ServerConfig> {
  const { config, problem } = await readPresent(path);
  if (config === undefined) throw problem;
  return config;
}

type Present =
  | { readonly text: string; readonly config: ServerConfig; readonly problem?: undefined }
  | { readonly text: string; readonly config?: undefined; readonly problem: BytebackError };

async function readPresent(path: string): Promise<Present> {
  try {
    const text = await requireText(path);
    return { text, config: parseServerConfig(path, text) };
  } catch (error) {
    if (!(error instanceof BytebackError)) throw error;
    if (error instanceof NoServerError) throw error;
    return { text: '', problem: new ServerConfigError(error.exit, error.explanation, { cause: error }) };
  }
}

/** This machine was never set up as a server: nothing from before can hold. */
class NoServerError extends ServerConfigError {}

async function requireText(path: string): Promise<string> {
  const text = await readIfPresent(path);
  if (text === undefined) {
    throw new NoServerError('usage', {
      what: 'this machine is not set up as a server',
      why: `there is no ${path}`,
      fix: 'run: byteback-setup-server',
    });
  }
  return text;
}

/** The configuration that a text says; `path` is only named in errors. */
export function parseServerConfig(path: string, text: string): ServerConfig {
  return serverConfigOf(parseTomlText(path, text, ServerToml));
}

/** The text that `configFromOpenText` reads again: server.toml as the receiving user may know it. */
export function openTextOf({ open }: ServerConfig): string {
  return JSON.stringify(open);
}

/** @param text as root wrote it: it was checked then. */
export function configFromOpenText(text: string): ServerConfig {
  return serverConfigOf(JSON.parse(text) as Toml);
}

function serverConfigOf(toml: Toml): ServerConfig {
  return {
    open: withoutSecrets(toml),
    store: toml.store ?? serverDefaults.store,
    user: toml.user ?? serverDefaults.user,
    snapshotsPerDay: toml.snapshots_per_day ?? serverDefaults.snapshotsPerDay,
    idleTimeoutMs: toml.idle_timeout ?? serverDefaults.idleTimeoutMs,
    hookTimeoutMs: toml.hook_timeout ?? serverDefaults.hookTimeoutMs,
    prune: {
      startPercent: toml.prune?.start ?? serverDefaults.prune.startPercent,
      stopPercent: toml.prune?.stop ?? serverDefaults.prune.stopPercent,
      keepLast: toml.prune?.keep_last ?? serverDefaults.prune.keepLast,
      growthFactor: toml.prune?.growth_factor ?? serverDefaults.prune.growthFactor,
    },
    ...(toml.metrics?.output === undefined ? {} : { metricsOutput: toml.metrics.output }),
    ...(toml.page?.output === undefined ? {} : { pageOutput: toml.page.output }),
    mail: {
      ...(toml.mail?.from === undefined ? {} : { from: toml.mail.from }),
      admin: toml.mail?.admin ?? [...serverDefaults.mail.admin],
      ...(toml.mail?.smtp === undefined ? {} : { smtp: toml.mail.smtp }),
      ...(toml.mail?.smtp_password_file === undefined ? {} : { smtpPasswordFile: toml.mail.smtp_password_file }),
    },
    hasPings: [toml.default, ...Object.values(toml.client ?? {})].some((policy) => policy?.ping !== undefined),
    ...(toml.default?.webhook === undefined ? {} : { webhook: toml.default.webhook }),
    clientTables: Object.keys(toml.client ?? {}),
    policyOf: (client) => policyFrom({ ...toml.default, ...ownTable(toml.client, client) }),
  };
}

/** A client's own table; never a property that every object inherits. */
function ownTable(tables: v.InferOutput<typeof ServerToml>['client'], client: ClientName): PolicyToml {
  return tables !== undefined && Object.hasOwn(tables, client) ? (tables[client] ?? {}) : {};
}

function policyFrom(toml: PolicyToml): ClientPolicy {
  return {
    weight: toml.weight ?? 1,
    ...(toml.keep === undefined ? {} : { keep: toml.keep }),
    ...(toml.max_age === undefined ? {} : { maxAgeMs: toml.max_age }),
    from: toml.from ?? [],
    window: toml.window ?? [],
    allow: toml.allow ?? [...rights],
    report: toml.report ?? [],
    ...(toml.errors === undefined ? {} : { errors: toml.errors }),
    ...(toml.expect === undefined ? {} : { expectMs: toml.expect === 'never' ? null : toml.expect }),
    ...(toml.ping === undefined ? {} : { ping: toml.ping }),
    ...(toml.webhook === undefined ? {} : { webhook: toml.webhook }),
    ...(toml.snapshots_per_day === undefined ? {} : { snapshotsPerDay: toml.snapshots_per_day }),
  };
}
