import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { reasonOf } from '../errors.ts';
import { emptyHistory, type History } from '../retention/history.ts';
import { appendLines } from '../system/append-lines.ts';
import { isMissing, writeFileAtomically } from '../system/files.ts';
import type { Log } from '../system/log.ts';
import { putAside, readStateFile } from '../system/state-file.ts';
import type { Store } from './store.ts';

const Bytes = v.pipe(v.number(), v.finite());

const HistorySchema = v.object({
  entries: v.array(
    v.object({
      name: v.string(),
      time: v.number(),
      status: v.picklist(['ok', 'partial', 'unknown']),
      bornBytes: Bytes,
      diedBytes: Bytes,
    }),
  ),
  runs: v.array(
    v.object({ time: v.number(), writtenBytes: Bytes, first: v.optional(v.boolean()), changedPart: v.optional(Bytes) }),
  ),
  middleYield: Bytes,
  diskRatio: Bytes,
  thinned: v.boolean(),
});

/**
 * What pruning remembers between two runs: `.byteback/ledger/state.json`. All of it can be lost: what is on the disk is
 * the truth, and figures that are missing are measured anew.
 */
const StateSchema = v.object({
  format: v.literal(1),
  /** See ClockMemory. */
  clock: v.object({ lastSeen: v.optional(v.number()), suspectSince: v.optional(v.number()) }),
  /** The settings that pruning goes by: those of server.toml, unless a change of them waits to be confirmed. */
  settings: v.optional(v.unknown()),
  /** Set while pruning is stopped because it did not help; see prune/standstill.ts. */
  standstill: v.optional(
    v.object({
      since: v.string(),
      why: v.string(),
      client: v.string(),
      /** What was on the store's disk then and not byteback's. */
      foreign: v.array(v.string()),
      freeBytes: Bytes,
      lookedAt: v.number(),
    }),
  ),
  clients: v.record(
    v.string(),
    v.object({
      history: HistorySchema,
      /** The tree as the last completed run found it. */
      treeBytes: v.optional(v.number()),
      treeFiles: v.optional(v.number()),
      /** What simple quotas charged it when its newest snapshot was seen, less what was freed since. */
      chargedBytes: v.optional(v.number()),
      /** The size of the tree when it was last measured, and what was recorded since. */
      measured: v.optional(v.object({ treeBytes: Bytes, writtenBytes: Bytes, diedBytes: Bytes })),
      /** The transaction of the newest snapshot, from which the next is measured. */
      newest: v.optional(v.object({ name: v.string(), generation: v.number() })),
    }),
  ),
});

/** One client in the ledger. */
export interface LedgerClient {
  history: History;
  treeBytes?: number | undefined;
  treeFiles?: number | undefined;
  chargedBytes?: number | undefined;
  measured?: { readonly treeBytes: number; readonly writtenBytes: number; readonly diedBytes: number } | undefined;
  newest?: { readonly name: string; readonly generation: number } | undefined;
}

/** Pruning stands still: what it deleted did not give what it should have given. */
export interface Standstill {
  readonly since: string;
  readonly why: string;
  readonly client: string;
  readonly foreign: string[];
  readonly freeBytes: number;
  readonly lookedAt: number;
}

export interface Ledger {
  clock: { lastSeen?: number | undefined; suspectSince?: number | undefined };
  settings?: unknown;
  standstill?: Standstill | undefined;
  clients: Record<string, LedgerClient>;
}

/** One line of the ledger of a year, `.byteback/ledger/2026.jsonl`: what was done and why, for people and programs. */
export interface LedgerLine {
  readonly at: string;
  readonly event:
    | 'run'
    | 'pruning'
    | 'pruned'
    | 'lost'
    | 'read'
    | 'refused'
    | 'paused'
    | 'resumed'
    | 'measured'
    | 'standstill'
    | 'given-back'
    | 'renamed';
  readonly [detail: string]: unknown;
}

function ledgerDir(store: Store): string {
  return join(store.stateDir, 'ledger');
}

function stateFile(store: Store): string {
  return join(ledgerDir(store), 'state.json');
}

/** Reads what is remembered. One that is damaged counts as nothing, and everything is measured anew; a prune puts it aside. */
export async function readLedger(store: Store, log: Log): Promise<Ledger> {
  const path = stateFile(store);
  const read = await readStateFile(path, StateSchema, 1).catch((error: unknown) => {
    return { kind: 'damaged', why: reasonOf(error) } as const;
  });
  if (read.kind === 'ok') {
    const { clock, settings, standstill, clients } = read.value;
    return {
      clock,
      ...(settings === undefined ? {} : { settings }),
      ...(standstill === undefined ? {} : { standstill }),
      clients: clients as Ledger['clients'],
    };
  }
  if (read.kind !== 'gone') log.warn(`the ledger is damaged and begun anew: ${path}: ${read.why}`);
  return { clock: {}, clients: {} };
}

/** Puts a damaged ledger aside before a new one is written. @returns where it is, or undefined when it is whole. */
export async function putDamagedLedgerAside(store: Store, now: Date): Promise<string | undefined> {
  const read = await readStateFile(stateFile(store), StateSchema, 1);
  return read.kind === 'damaged' || read.kind === 'newer' ? await putAside(stateFile(store), now) : undefined;
}

/** When a prune last wrote down what it saw; undefined before the first. */
export async function ledgerWrittenAt(store: Store): Promise<Date | undefined> {
  try {
    return (await stat(stateFile(store))).mtime;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Keeps what is known. A full disk is no reason to stop: the ledger is only a memory, so that is said and no more. */
export async function writeLedger(store: Store, ledger: Ledger, log: Log): Promise<void> {
  try {
    await mkdir(ledgerDir(store), { recursive: true, mode: 0o700 });
    await writeFileAtomically(stateFile(store), `${JSON.stringify({ format: 1, ...ledger })}\n`, { mode: 0o600 });
  } catch (error) {
    log.warn(`cannot write the ledger: ${reasonOf(error)}`);
  }
}

/** Adds lines to the year's ledger; on a full disk they are only logged. */
export async function appendToLedger(store: Store, lines: readonly LedgerLine[], log: Log): Promise<void> {
  const year = lines[0]?.at.slice(0, 4);
  if (year === undefined) return;
  try {
    await mkdir(ledgerDir(store), { recursive: true, mode: 0o700 });
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    await appendLines(join(ledgerDir(store), `${year}.jsonl`), text);
  } catch (error) {
    log.warn(`cannot write to the ledger of ${year}: ${reasonOf(error)}`);
  }
}

/** The part of a client, made when it is new. */
export function ledgerClient(ledger: Ledger, client: string): LedgerClient {
  ledger.clients[client] ??= { history: emptyHistory() };
  return ledger.clients[client];
}
