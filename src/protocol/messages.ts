import * as v from 'valibot';
import { type ExitName, exitCodes } from '../errors.ts';
import { maxMachineBytes } from './machine.ts';
import { ClientNameSchema, RunIdSchema, SnapshotNameSchema } from './names.ts';

/** Version of what client and server say to each other; a server answers only a client of the same number. */
export const protocolVersion = 1;

/** No request or reply on the wire is larger than this. */
export const maxMessageBytes = 1024 * 1024;

/** What the server says when it has waited too long for a request. */
export const noRequest = 'no request came';

/** The exit code of a refused transfer on the wire: outside rsync's own codes, and none of ours. */
export const transferRefusedExitCode = 76;

const Count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const ShortText = v.pipe(v.string(), v.maxLength(4096));
/** A file name in its escaped form (see file-name.ts). */
const EscapedName = v.pipe(v.string(), v.maxLength(16_384));

// ---- requests of a client ------------------------------------------------------------------------------------------

/** `prepare`: announces a run. */
export const PrepareRequestSchema = v.strictObject({
  protocol: v.literal(protocolVersion),
  /** byteback's version on the client, for the record only. */
  version: v.pipe(v.string(), v.maxLength(64)),
  /** Hash that identifies the machine, so that a cloned machine is refused and not merged: 64 hexadecimal digits. */
  machineId: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  /** Bytes of file content that the client expects to send, as far as it knows. */
  expectedBytes: Count,
  /** Files that the client's scan found. */
  files: Count,
  /** True when all that is configured is backed up, not single sources. */
  whole: v.optional(v.boolean()),
});
export type PrepareRequest = v.InferOutput<typeof PrepareRequestSchema>;

/** How a hook ended: a program of the admin's, before or after a run on the client, or at prepare or complete on the server. */
export const HookOutcomeSchema = v.strictObject({
  step: v.picklist(['before', 'after', 'prepare', 'complete']),
  /** Its path, escaped. */
  name: ShortText,
  /** Null when it could not be run, or was ended. */
  exitCode: v.nullable(Count),
  /** Its time was over. */
  timedOut: v.boolean(),
  durationMs: Count,
  /** The last of what it printed, lines escaped. */
  output: v.pipe(v.string(), v.maxLength(16_384)),
});
export type HookOutcome = v.InferOutput<typeof HookOutcomeSchema>;

/** `complete`: the transfers are done; take the snapshot. */
export const CompleteRequestSchema = v.strictObject({
  run: RunIdSchema,
  /** `partial`: some files could not be read; the snapshot is marked so. */
  status: v.picklist(['ok', 'partial']),
  /** The files that could not be read, escaped; the first 1,000 of them. */
  unread: v.pipe(v.array(EscapedName), v.maxLength(1000)),
  /** The client's hooks before the run, for the record. */
  hooks: v.optional(v.pipe(v.array(HookOutcomeSchema), v.maxLength(20))),
  figures: v.strictObject({
    /** Time since the run began on the client, retries and waits included. */
    durationMs: Count,
    /** Bytes on the wire, both directions. */
    wireBytes: Count,
    /** Bytes of content of the files that were sent. */
    sentBytes: Count,
    /** Files sent. */
    sentFiles: Count,
    /** Files seen by the scan. */
    files: Count,
    /** Their bytes. */
    totalBytes: Count,
    /** Attempts after the first. */
    retries: Count,
  }),
  /** The directories that most of the bytes came from, the largest first; `newBytes` is their new room before compression. */
  grew: v.optional(
    v.pipe(v.array(v.strictObject({ path: EscapedName, sentBytes: Count, newBytes: Count })), v.maxLength(20)),
  ),
  /** Compressed files that were sent whole again though they are hardly larger or smaller: the largest 50 of them. */
  resent: v.optional(v.pipe(v.array(v.strictObject({ path: EscapedName, sizeBytes: Count })), v.maxLength(50))),
  /** `ended` follows: the client has hooks to run after this. Only to a server that takes it. */
  endFollows: v.optional(v.boolean()),
  /** The manifest of the machine (see machine.ts); left out when the server has the same one already. */
  machine: v.optional(v.pipe(v.string(), v.maxLength(maxMachineBytes))),
});
export type CompleteRequest = v.InferOutput<typeof CompleteRequestSchema>;

/** `ended`: how a run ended, as the client knows it, also one that never came to the server. */
export const EndedRequestSchema = v.strictObject({
  /** Null when the server gave out none. */
  run: v.nullable(RunIdSchema),
  status: v.picklist(['ok', 'partial', 'failed', 'interrupted']),
  /** The exit code of byteback-backup. */
  exit: v.pipe(Count, v.maxValue(255)),
  /** The step that it ended in. */
  phase: v.picklist(['before', 'scan', 'run', 'after']),
  /** The client's clock. The form alone admits "+01" as a zone, which no Date takes. */
  endedAt: v.pipe(
    v.string(),
    v.isoTimestamp(),
    v.check((text) => !Number.isNaN(Date.parse(text)), 'not a time'),
  ),
  /** How long ago that was when it is told, in milliseconds by one clock; not long when it is missing. */
  ageMs: v.optional(Count),
  what: v.optional(ShortText),
  why: v.optional(ShortText),
  /** Of a run with a snapshot those after it; of a failed one all. */
  hooks: v.pipe(v.array(HookOutcomeSchema), v.maxLength(20)),
});
export type EndedRequest = v.InferOutput<typeof EndedRequestSchema>;

/** `outcome`: why did the last transfer of this run fail? */
export const OutcomeRequestSchema = v.strictObject({ run: RunIdSchema });

/** `versions`: the versions of some paths in all snapshots. */
export const VersionsRequestSchema = v.strictObject({
  /** Absolute paths on the client, escaped. */
  paths: v.pipe(v.array(EscapedName), v.minLength(1), v.maxLength(100)),
});

/** `find`: what in one snapshot matches some patterns, line by line, in the order of names. */
export const FindRequestSchema = v.strictObject({
  snapshot: SnapshotNameSchema,
  /** Absolute glob patterns, escaped as names are: `*`, `**`, `?`, sets and braces. */
  patterns: v.pipe(v.array(EscapedName), v.minLength(1), v.maxLength(100)),
  /** Only what comes after this path, escaped: where an answer was cut. */
  after: v.optional(EscapedName),
});
export type FindRequest = v.InferOutput<typeof FindRequestSchema>;

/** `changes`: what differs between two snapshots, below one path; in pages, in the order of names. */
export const ChangesRequestSchema = v.strictObject({
  from: SnapshotNameSchema,
  to: SnapshotNameSchema,
  /** Absolute, escaped. */
  path: EscapedName,
  after: v.optional(EscapedName),
});
export type ChangesRequest = v.InferOutput<typeof ChangesRequestSchema>;

/** `machine`: the manifest of the machine that a snapshot carries. */
export const MachineRequestSchema = v.strictObject({ snapshot: SnapshotNameSchema });

/** One file that the server drew for a drill. */
export const DrilledFileSchema = v.strictObject({
  /** Absolute, escaped. */
  path: EscapedName,
  sizeBytes: Count,
  /** As in a version. */
  mtime: v.pipe(v.string(), v.regex(/^-?\d{1,20}\.\d{9}$/)),
});

/** `proof`: the answer to a drill. */
export const ProofRequestSchema = v.strictObject({
  drill: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
  files: v.pipe(
    v.array(
      v.strictObject({
        path: EscapedName,
        /** Of the client's own file; null when it has changed since, or is gone. */
        sha256: v.nullable(v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))),
      }),
    ),
    v.maxLength(1000),
  ),
  /** By the client's key, of `proofText`; only for a server that asks for it. */
  signature: v.optional(v.pipe(v.string(), v.maxLength(8192))),
});
export type ProofRequest = v.InferOutput<typeof ProofRequestSchema>;

/** `register`, with an administrative key or a password. */
export const RegisterRequestSchema = v.strictObject({
  protocol: v.literal(protocolVersion),
  name: ClientNameSchema,
  /** One OpenSSH public key line, without options. */
  publicKey: v.pipe(v.string(), v.maxLength(16_384)),
});

/** `redeem`, with an invite's one-time key: the name is the invite's. */
export const RedeemRequestSchema = v.strictObject({
  protocol: v.literal(protocolVersion),
  publicKey: v.pipe(v.string(), v.maxLength(16_384)),
});

// ---- replies ---------------------------------------------------------------------------------------------------------

const exitNames = Object.keys(exitCodes).filter((name) => name !== 'ok') as [
  Exclude<ExitName, 'ok'>,
  ...Exclude<ExitName, 'ok'>[],
];

/**
 * A refusal or failure as it travels: the process also exits with the code of `exit`. What an older side does not know as an exit
 * goes as `refused`, with its own name in `kind`.
 */
export const FailureSchema = v.pipe(
  v.object({
    ok: v.literal(false),
    exit: v.picklist(exitNames),
    what: ShortText,
    why: v.optional(ShortText),
    fix: v.optional(ShortText),
    kind: v.optional(v.string()),
  }),
  v.transform(({ kind, ...failure }) => ({
    ...failure,
    exit: exitNames.find((name) => name === kind) ?? failure.exit,
  })),
);
export type Failure = v.InferOutput<typeof FailureSchema>;

/** Exits that were not there from the beginning. */
const laterExits: readonly ExitName[] = ['storeFailed'];

/** A failure as an older side can read it, too. */
export function onTheWire(failure: Failure): Failure {
  return laterExits.includes(failure.exit) ? ({ ...failure, exit: 'refused', kind: failure.exit } as Failure) : failure;
}

/** With it goes, in the line after a refusal on standard error, what the refusal is: the name of an exit. */
export const refusalKindPrefix = 'byteback-exit: ';
/** And below that what to do, where there is something. */
export const refusalFixPrefix = 'byteback-fix: ';

export const PingReplySchema = v.object({
  ok: v.literal(true),
  protocol: v.number(),
  version: v.string(),
  /** Who the server takes this key for. */
  client: v.optional(ClientNameSchema),
  /** It may be told `ended`; servers of before know no such word. */
  takesEnds: v.optional(v.boolean()),
});

export const PrepareReplySchema = v.object({
  ok: v.literal(true),
  run: RunIdSchema,
  /** The id of the last completed run, when `current` is exactly what it left; null when it is not known to be. */
  generation: v.nullable(RunIdSchema),
  /** True when there is no file and no directory in `current` yet. */
  empty: v.optional(v.boolean()),
  /** SHA-256 of the manifest that the server holds; null when it holds none. */
  machine: v.optional(v.nullable(v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)))),
  /** The name that the server knows this client by. */
  client: v.optional(ClientNameSchema),
  /** How old its newest snapshot may be before it is overdue; null: any age. */
  longestSilenceMs: v.optional(v.nullable(v.number())),
  /** It may be told `ended`; servers of before know no such word. */
  takesEnds: v.optional(v.boolean()),
});
export type PrepareReply = v.InferOutput<typeof PrepareReplySchema>;

export const CompleteReplySchema = v.object({
  ok: v.literal(true),
  run: RunIdSchema,
  snapshot: SnapshotNameSchema,
});
export type CompleteReply = v.InferOutput<typeof CompleteReplySchema>;

export const EndedReplySchema = v.object({ ok: v.literal(true) });

/** `machine`: the text of the manifest; null for a snapshot without one. */
export const MachineReplySchema = v.object({ ok: v.literal(true), machine: v.nullable(v.string()) });

/** `drill`: the files that the server drew from the newest snapshot. */
export const DrillReplySchema = v.object({
  ok: v.literal(true),
  drill: v.string(),
  snapshot: SnapshotNameSchema,
  files: v.array(DrilledFileSchema),
  /** Who is drilled, for the answer to be signed as (`proofText`); an answer that is not signed proves nothing. */
  client: v.optional(ClientNameSchema),
});

/** `proof`: how many files were equal, and which were not though they are unchanged, escaped. */
export const ProofReplySchema = v.object({
  ok: v.literal(true),
  files: Count,
  bytes: Count,
  wrong: v.array(EscapedName),
  /** Whether the client is proven restorable by it; a server that does not say it went by less. */
  proven: v.optional(v.boolean()),
  /** Why it is not. */
  why: v.optional(v.string()),
});

/** Whether files were made single; `missing` (since 0.2): the places in the list of those that are not there. */
export const SeparateReplySchema = v.object({
  ok: v.literal(true),
  missing: v.optional(v.array(v.pipe(v.number(), v.integer(), v.minValue(0)))),
});

/** `replay`: how many of the renames could not be done; then `current` has to be walked. */
export const ReplayReplySchema = v.object({ ok: v.literal(true), failed: v.number() });

export const SnapshotEntrySchema = v.object({
  snapshot: SnapshotNameSchema,
  /** `partial` when some files could not be read; `unknown` for snapshots of the original byteback. */
  status: v.picklist(['ok', 'partial', 'unknown']),
});
export type SnapshotEntry = v.InferOutput<typeof SnapshotEntrySchema>;
export type NamedSnapshot = Pick<SnapshotEntry, 'snapshot'>;

/** The server knows `list` and `digests`: see tree-list.ts. An older one does not. */
const lists = v.optional(v.literal(true));

export const SnapshotsReplySchema = v.object({
  ok: v.literal(true),
  snapshots: v.array(SnapshotEntrySchema),
  lists,
});

/** One version of one path: what a snapshot holds there. */
export const VersionSchema = v.object({
  snapshot: SnapshotNameSchema,
  /** Absolute path on the client, escaped. */
  path: EscapedName,
  type: v.picklist(['file', 'directory', 'link', 'fifo', 'socket', 'block', 'character', 'unknown']),
  sizeBytes: Count,
  /** Seconds since 1970 with nanoseconds, as decimal text: "1763600000.123456789". */
  mtime: v.pipe(v.string(), v.regex(/^-?\d{1,20}\.\d{9}$/)),
  /** Permission bits as on the client, or null when the record of them is corrupt. */
  mode: v.nullable(Count),
  uid: v.nullable(Count),
  gid: v.nullable(Count),
  /** Target of a link, escaped. */
  target: v.optional(EscapedName),
});
export type Version = v.InferOutput<typeof VersionSchema>;

export const VersionsReplySchema = v.object({
  ok: v.literal(true),
  versions: v.array(VersionSchema),
  /** All snapshots, so that one question answers both; without what their records say, which would take as long again. */
  snapshots: v.array(v.pick(SnapshotEntrySchema, ['snapshot'])),
  lists,
});

/** One line of the answer to `find`. The last line of all is `{"ok":true}`, or a failure. */
export const FoundRowSchema = v.omit(VersionSchema, ['snapshot']);
export type FoundRow = v.InferOutput<typeof FoundRowSchema>;
/** `cut`: it took too long and was ended; what is left is asked for anew, `after` the last line. */
export const FoundEndSchema = v.object({ ok: v.literal(true), cut: v.optional(v.literal(true)) });
/** No line is longer. */
export const maxRowBytes = 131_072;

/** What became of one path from one snapshot to the next. Sizes are 0 for what is no file. */
export const ChangeSchema = v.object({
  path: EscapedName,
  /** `attributes`: the content is the same. */
  change: v.picklist(['added', 'removed', 'content', 'attributes']),
  /** Null where it was not there. */
  sizeBefore: v.nullable(Count),
  sizeAfter: v.nullable(Count),
});
export type Change = v.InferOutput<typeof ChangeSchema>;

export const ChangesReplySchema = v.object({
  ok: v.literal(true),
  changes: v.array(ChangeSchema),
  next: v.optional(EscapedName),
});

/** Why the server ended or refused the last transfer of a run; `failure` null when it saw no reason of its own. */
export const OutcomeReplySchema = v.object({ ok: v.literal(true), failure: v.nullable(FailureSchema) });

export const RegisterReplySchema = v.object({ ok: v.literal(true), client: ClientNameSchema });
export type RegisterReply = v.InferOutput<typeof RegisterReplySchema>;
