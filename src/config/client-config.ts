import { join } from 'node:path';
import * as v from 'valibot';
import { BytebackError } from '../errors.ts';
import { parseDestination } from '../protocol/destination.ts';

import { CommandLines, type CommandWords } from './command-line.ts';
import type { ClientPaths } from './paths.ts';
import { parseTomlText, readIfPresent } from './toml-file.ts';
import { CleanPath, DurationMs, LineOfText, WebAddress, wholeNumber } from './values.ts';

/** What a client's configuration says, defaults filled in. */
export interface ClientConfig {
  /** `user@host:`. */
  readonly destination: string;
  /** Absolute paths. */
  readonly source: string[];
  /** rsync's own pattern syntax. */
  readonly exclude: string[];
  /** Attempts after the first; the count starts anew when bytes moved. */
  readonly retryNumber: number;
  readonly retryDelayMs: number;
  /** How long rsync waits for the other side. */
  readonly ioTimeoutMs: number;
  /** All of the tree is compared by checksum in this time, a part at each run; and walked on both sides once. */
  readonly checkEveryMs: number;
  /** rsync's own form: KiB a second, or with a unit. */
  readonly bwlimit?: string;
  /** Programs that run before and after each run, besides those in the hooks' directories. */
  readonly before: CommandWords[];
  readonly after: CommandWords[];
  /** Each hook is ended after this long. */
  readonly hookTimeoutMs: number;
  /** Pinged when a run begins (/start), ends (as it is) and fails (/fail). */
  readonly ping?: string;
  /** Gets a JSON object of each run. */
  readonly webhook?: string;
  /** Files of the original byteback that lie in the configuration directory and still count. */
  readonly original: OriginalFiles;
}

/** Files of the original byteback; each is undefined or empty when it does not exist. */
export interface OriginalFiles {
  /** `excludes`: a file for rsync's --exclude-from. */
  readonly excludesFile?: string;
  /** `rsync_filter`: a file for rsync's --filter='merge FILE'. */
  readonly filterFile?: string;
  /** `rsync_flags`: options for rsync, on one line or on several. */
  readonly rsyncFlags: string[];
}

/** Defaults of everything that a client may leave out. */
export const clientDefaults = {
  source: ['/'],
  exclude: [],
  retryNumber: 5,
  retryDelayMs: 10 * 60_000,
  ioTimeoutMs: 60 * 60_000,
  hookTimeoutMs: 60 * 60_000,
  checkEveryMs: 30 * 24 * 3_600_000,
} as const;

const DestinationText = v.pipe(
  v.string(),
  v.check(
    (text) => whyNotDestination(text) === undefined,
    (issue) => whyNotDestination(String(issue.input)) ?? '',
  ),
);

function whyNotDestination(text: string): string | undefined {
  try {
    parseDestination(text);
    return undefined;
  } catch (error) {
    if (!(error instanceof BytebackError)) throw error;
    return error.explanation.why ?? error.message;
  }
}

const ClientToml = v.strictObject({
  destination: v.optional(DestinationText),
  source: v.optional(v.pipe(v.array(CleanPath), v.minLength(1, 'at least one path is needed'))),
  exclude: v.optional(v.array(LineOfText)),
  retry_number: v.optional(wholeNumber(0, 1000)),
  retry_delay: v.optional(DurationMs),
  io_timeout: v.optional(DurationMs),
  before: v.optional(CommandLines),
  after: v.optional(CommandLines),
  hook_timeout: v.optional(DurationMs),
  check_every: v.optional(v.pipe(DurationMs, v.minValue(3_600_000, 'it must be an hour at least, such as "30d"'))),
  bwlimit: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^\d{1,9}(?:\.\d{1,3})?[KMGkmg]?(?:i?[Bb])?$/, 'it must be as rsync has it, such as "5M" or "500K"'),
    ),
  ),
  ping: v.optional(WebAddress),
  webhook: v.optional(WebAddress),
});

/**
 * Reads `client.toml`, and beside it what the original byteback left there; where both speak, client.toml counts.
 * @throws BytebackError (usage) with file, line and key when something is wrong, or when there is no destination.
 */
export async function loadClientConfig(paths: ClientPaths): Promise<ClientConfig> {
  const text = await readIfPresent(paths.clientToml);
  const toml = text === undefined ? {} : parseTomlText(paths.clientToml, text, ClientToml);
  const destination = toml.destination ?? (await originalDestination(paths));
  if (destination === undefined) {
    throw new BytebackError('usage', {
      what:
        text === undefined ? 'this machine is not set up as a client' : `${paths.clientToml}: destination is missing`,
      why: text === undefined ? `there is no ${paths.clientToml}` : 'it says where the files go',
      fix: 'run: byteback-setup-client --destination byteback@HOST:',
    });
  }
  return {
    destination,
    source: toml.source ?? [...clientDefaults.source],
    exclude: toml.exclude ?? [],
    retryNumber: toml.retry_number ?? clientDefaults.retryNumber,
    retryDelayMs: toml.retry_delay ?? clientDefaults.retryDelayMs,
    ioTimeoutMs: toml.io_timeout ?? (await originalTimeoutMs(paths)) ?? clientDefaults.ioTimeoutMs,
    checkEveryMs: toml.check_every ?? clientDefaults.checkEveryMs,
    ...(toml.bwlimit === undefined ? {} : { bwlimit: toml.bwlimit }),
    ...(toml.ping === undefined ? {} : { ping: toml.ping }),
    ...(toml.webhook === undefined ? {} : { webhook: toml.webhook }),
    before: toml.before ?? [],
    after: toml.after ?? [],
    hookTimeoutMs: toml.hook_timeout ?? clientDefaults.hookTimeoutMs,
    original: await readOriginalFiles(paths),
  };
}

async function originalDestination(paths: ClientPaths): Promise<string | undefined> {
  const path = join(paths.configDir, 'destination');
  const line = (await readIfPresent(path))?.split('\n')[0]?.trim();
  const why = line === undefined ? undefined : whyNotDestination(line);
  if (why === undefined) return line;
  throw new BytebackError('usage', {
    what: `${path}:1: not a destination`,
    why,
    fix: `correct ${path}, or run: byteback-setup-client --destination byteback@HOST:`,
  });
}

/** The original's `io_timeout` holds seconds. */
async function originalTimeoutMs(paths: ClientPaths): Promise<number | undefined> {
  const path = join(paths.configDir, 'io_timeout');
  const line = (await readIfPresent(path))?.split('\n')[0]?.trim();
  if (line === undefined || line === '') return undefined;
  if (/^\d{1,9}$/.test(line)) return Number(line) * 1000;
  throw new BytebackError('usage', {
    what: `${path}:1: not a number of seconds`,
    fix: `correct ${path}, or set io_timeout = "3h" in ${paths.clientToml} and delete it`,
  });
}

async function readOriginalFiles(paths: ClientPaths): Promise<OriginalFiles> {
  const excludesFile = join(paths.configDir, 'excludes');
  const filterFile = join(paths.configDir, 'rsync_filter');
  const flags = await readIfPresent(join(paths.configDir, 'rsync_flags'));
  return {
    ...((await readIfPresent(excludesFile)) === undefined ? {} : { excludesFile }),
    ...((await readIfPresent(filterFile)) === undefined ? {} : { filterFile }),
    rsyncFlags: (flags ?? '').split(/\s+/).filter((word) => word !== ''),
  };
}
