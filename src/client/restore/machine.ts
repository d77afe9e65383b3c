import { BytebackError } from '../../errors.ts';
import { type Machine, parseMachine } from '../../protocol/machine.ts';
import { MachineReplySchema, PingReplySchema } from '../../protocol/messages.ts';
import type { SnapshotName } from '../../protocol/names.ts';
import { recipeOf } from '../machine/recipe.ts';
import { ask } from '../remote.ts';
import { snapshotOf } from './choice.ts';
import { listSnapshots, noSnapshots, openRestoreSession, type RestoreDeps, wishOf } from './versions.ts';

/** What a snapshot knows of the machine, and how to make it anew. */
export interface MachineReport {
  readonly snapshot: SnapshotName;
  readonly machine: Machine;
  /** Commands, with remarks between them. */
  readonly recipe: string;
}

/** The manifest of the machine in one snapshot, the newest by default, and the recipe that follows from it. */
export async function describeMachine(
  options: { readonly snapshot?: string; readonly at?: string },
  deps: RestoreDeps,
): Promise<MachineReport> {
  const session = openRestoreSession(deps, false);
  try {
    const snapshots = await listSnapshots(session);
    const wish = wishOf({ ...options, paths: [], all: false }, snapshots, deps.clock.now());
    const snapshot = snapshotOf(wish, snapshots) ?? snapshots.at(-1)?.snapshot;
    if (snapshot === undefined) throw noSnapshots();
    const connection = await session.connect();
    const asking = { signal: session.signal };
    const [reply, { client }] = await Promise.all([
      ask(connection, 'machine', { snapshot }, MachineReplySchema, asking),
      ask(connection, 'ping', undefined, PingReplySchema, asking),
    ]);
    const machine = reply.machine === null ? undefined : parseMachine(reply.machine);
    if (machine === undefined) {
      throw new BytebackError('usage', {
        what: `${snapshot} holds no manifest of the machine`,
        why: 'it was made by a byteback that did not collect one, or nothing of the machine could be found out',
        fix: 'look at another one: byteback-restore --snapshots',
      });
    }
    return { snapshot, machine, recipe: recipeOf(machine, { snapshot, client, destination: deps.config.destination }) };
  } finally {
    await session.close();
  }
}
