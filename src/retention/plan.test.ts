import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { historyBytes, moveOn } from './history.ts';
import { byTime } from './importance.ts';
import { parseKeepRule } from './keep.ts';
import { makePlan } from './plan.ts';
import { fairBytesPerWeight, isWithinShare } from './shares.ts';
import type { Aim, Decision, Plan, Snapshot, StoreState } from './types.ts';

const dayMs = 86_400_000;
const epoch = Date.parse('2026-11-20T12:00:00Z');

/** Stores of up to six clients with a few snapshots each at odd times, with holds, rules, weights and pauses. */
const storeStates: fc.Arbitrary<StoreState> = fc
  .array(
    fc.record({
      weight: fc.constantFrom(0.5, 1, 1, 1, 3),
      keepLast: fc.constantFrom(3, 3, 3, 5),
      keep: fc.constantFrom(undefined, undefined, parseKeepRule('3d 2w 2m')),
      maxAgeDays: fc.constantFrom(undefined, undefined, undefined, 90),
      paused: fc.constantFrom(undefined, undefined, undefined, undefined, 'most files gone'),
      figures: fc.array(fc.tuple(fc.integer({ min: 0, max: 500 * 24 }), fc.nat(1000), fc.nat(1000), fc.nat(9)), {
        maxLength: 25,
      }),
    }),
    { minLength: 1, maxLength: 6 },
  )
  .chain((clients) => fc.record({ clients: fc.constant(clients), freeBytes: fc.nat(5000) }))
  .map(({ clients, freeBytes }) => {
    const snapshotsOf: Snapshot[][] = clients.map(() => []);
    const holds: StoreState['holds'][number][] = [];
    for (const [index, { figures }] of clients.entries()) {
      const times = new Set<number>();
      for (const [hours, bornBytes, diedBytes, held] of figures) {
        const time = epoch - hours * 3_600_000;
        if (times.has(time)) continue;
        times.add(time);
        const snapshot = {
          name: new Date(time).toISOString(),
          time,
          status: 'ok' as const,
          bornBytes,
          diedBytes,
        };
        snapshotsOf[index]?.push(snapshot);
        if (held === 0) holds.push({ client: `c${index}`, name: snapshot.name, reason: 'a test' });
      }
    }
    return {
      now: epoch,
      freeBytes,
      holds,
      clients: clients.map(({ weight, keepLast, keep, maxAgeDays, paused }, index) => ({
        name: `c${index}`,
        snapshots: snapshotsOf[index] ?? [],
        policy: {
          weight,
          keepLast,
          ...(keep === undefined ? {} : { keep }),
          ...(maxAgeDays === undefined ? {} : { maxAgeMs: maxAgeDays * dayMs }),
        },
        ...(paused === undefined ? {} : { paused }),
      })),
    };
  });

const aims: fc.Arbitrary<Aim> = fc.record(
  {
    freeBytes: fc.oneof(fc.nat(30_000), fc.constant(Number.POSITIVE_INFINITY)),
    order: fc.constantFrom('importance' as const, 'age' as const),
    demand: fc.record({ client: fc.constantFrom('c0', 'c1'), freeBytes: fc.nat(30_000) }),
  },
  { requiredKeys: ['freeBytes', 'order'] },
);

const pruned = (plan: Plan) => plan.decisions.filter(({ verdict }) => verdict === 'pruned');
const key = ({ client, snapshot }: { client: string; snapshot: { name: string } }) => `${client}/${snapshot.name}`;
const all = (state: StoreState) =>
  state.clients.flatMap(({ name, snapshots }) => snapshots.map((snapshot) => ({ client: name, snapshot })));

/** The state that is left when a plan has been carried out and the disk gave back just what was foreseen. */
function carriedOut(state: StoreState, plan: { decisions: readonly Decision[]; freeBytes: number }): StoreState {
  const clients = state.clients.map((client) => {
    const snapshots = client.snapshots.map((snapshot) => ({ ...snapshot })).sort(byTime);
    for (const decision of plan.decisions) {
      if (decision.verdict === 'kept' || decision.client !== client.name) continue;
      const at = snapshots.findIndex(({ name }) => name === decision.snapshot.name);
      const newer = snapshots[at + 1];
      if (newer !== undefined) moveOn(snapshots[at] as Snapshot, snapshots[at - 1], newer, decision.freesBytes);
      snapshots.splice(at, 1);
    }
    return { ...client, snapshots };
  });
  return { ...state, clients, freeBytes: plan.freeBytes };
}

function holdings(state: StoreState) {
  return state.clients
    .filter(({ snapshots }) => snapshots.length > 0)
    .map(({ name, policy, snapshots }) => ({
      client: name,
      weight: policy.weight,
      historyBytes: historyBytes([...snapshots].sort(byTime)),
    }));
}

describe('makePlan', () => {
  it('gives every snapshot one decision with a reason', () => {
    fc.assert(
      fc.property(storeStates, aims, (state, aim) => {
        const plan = makePlan(state, aim);
        expect(plan.decisions.map(key).sort()).toEqual(all(state).map(key).sort());
        for (const { reason } of plan.decisions) expect(reason).toMatch(/\S/);
        for (const { freesBytes } of plan.decisions) expect(freesBytes).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  it('never prunes the newest three, a held one, or one that a rule keeps; and one of a paused client only as the last', () => {
    fc.assert(
      fc.property(storeStates, aims, (state, aim) => {
        const plan = makePlan(state, aim);
        const gone = new Set(pruned(plan).map(key));
        const spared = new Set(
          pruned(plan)
            .filter((decision) => decision.spared)
            .map(key),
        );
        for (const hold of state.holds) expect(gone).not.toContain(key({ client: hold.client, snapshot: hold }));
        for (const { name, policy, paused, snapshots } of state.clients) {
          const its = [...snapshots].sort(byTime);
          for (const snapshot of its.slice(-policy.keepLast))
            expect(gone).not.toContain(key({ client: name, snapshot }));
          if (paused !== undefined)
            for (const snapshot of its) {
              const one = key({ client: name, snapshot });
              if (gone.has(one)) expect(spared).toContain(one);
            }
          const newestOfDay = its.filter(
            (snapshot, at) => its[at + 1]?.name.slice(0, 10) !== snapshot.name.slice(0, 10),
          );
          if (policy.keep !== undefined)
            for (const snapshot of newestOfDay.slice(-3)) expect(gone).not.toContain(key({ client: name, snapshot }));
        }
      }),
    );
  });

  it('has nothing more to prune after it was carried out', () => {
    fc.assert(
      fc.property(storeStates, aims, (state, aim) => {
        const plan = makePlan(state, aim);
        expect(pruned(makePlan(carriedOut(state, plan), aim))).toEqual([]);
      }),
    );
  });

  it('takes nothing from a client within its share, except for its own next run or by its own age limit', () => {
    fc.assert(
      fc.property(storeStates, aims, (state, aim) => {
        const plan = makePlan(state, aim);
        let now = state;
        for (const decision of pruned(plan)) {
          const holdingsNow = holdings(now);
          const payer = holdingsNow.find(({ client }) => client === decision.client);
          if (decision.because === 'above-share') {
            expect(
              isWithinShare(payer as (typeof holdingsNow)[number], fairBytesPerWeight(holdingsNow) * (1 - 1e-9)),
            ).toBe(false);
          } else if (decision.because === 'own-demand') {
            expect(decision.client).toBe(aim.demand?.client);
          }
          now = carriedOut(now, { ...plan, decisions: [decision] });
        }
      }),
    );
  });

  it('does not depend on the order of its input', () => {
    fc.assert(
      fc.property(storeStates, aims, fc.infiniteStream(fc.nat()), (state, aim, random) => {
        const shuffled = <T>(list: readonly T[]): T[] =>
          list
            .map((item) => [random.next().value as number, item] as const)
            .sort(([a], [b]) => a - b)
            .map(([, item]) => item);
        const other = {
          ...state,
          clients: shuffled(state.clients.map((client) => ({ ...client, snapshots: shuffled(client.snapshots) }))),
          holds: shuffled(state.holds),
        };
        expect(makePlan(other, aim)).toEqual(makePlan(state, aim));
      }),
    );
  });

  it('is the same on the other side of a change of daylight time or a leap day', () => {
    // Whole multiples of four weeks keep the calendar of Sundays, and pass over both.
    fc.assert(
      fc.property(storeStates, aims, fc.integer({ min: -200, max: 200 }), (state, aim, periods) => {
        // Months have no fixed length, so rules that count them are left out here.
        const movedBy = (shift: number): StoreState => ({
          ...state,
          now: state.now + shift,
          clients: state.clients.map(({ policy: { keep: _months, ...policy }, ...client }) => ({
            ...client,
            policy,
            snapshots: client.snapshots.map((snapshot) => ({ ...snapshot, time: snapshot.time + shift })),
          })),
        });
        const here = pruned(makePlan(movedBy(0), aim)).map(key);
        expect(pruned(makePlan(movedBy(periods * 28 * dayMs), aim)).map(key)).toEqual(here);
      }),
    );
  });

  it('stops as soon as there is enough', () => {
    fc.assert(
      fc.property(storeStates, aims, (state, aim) => {
        const plan = makePlan(state, aim);
        const forced = pruned(plan).filter(({ because }) => because !== 'too-old');
        const last = forced.at(-1);
        if (last === undefined) return;
        const target = last.because === 'own-demand' ? (aim.demand?.freeBytes ?? 0) : aim.freeBytes;
        expect(plan.freeBytes - last.freesBytes).toBeLessThan(target);
      }),
    );
  });
});

describe('an aim that is out of reach', () => {
  it('deletes nothing but what is too old, and says how far everything would come', () => {
    fc.assert(
      fc.property(storeStates, aims, (state, aim) => {
        if (aim.freeBytes === Number.POSITIVE_INFINITY) return;
        const plan = makePlan(state, aim);
        if (plan.reached) return;
        expect(pruned(plan).filter(({ because }) => because !== 'too-old')).toEqual([]);
        expect(plan.reachableBytes).toBeLessThan(aim.demand?.freeBytes ?? aim.freeBytes);
      }),
    );
  });
  it('goes for the least that helps, and no further', () => {
    fc.assert(
      fc.property(storeStates, fc.nat(30_000), (state, leastBytes) => {
        const aim = { freeBytes: 1e9, leastBytes, order: 'importance' as const };
        const forced = pruned(makePlan(state, aim)).filter(({ because }) => because !== 'too-old');
        if (forced.length > 0) expect(makePlan(state, aim).freeBytes).toBeGreaterThanOrEqual(leastBytes);
      }),
    );
  });
  it('deletes nothing that frees nothing', () => {
    fc.assert(
      fc.property(storeStates, aims, (state, aim) => {
        if (aim.freeBytes === Number.POSITIVE_INFINITY) return;
        const gone = pruned(makePlan(state, aim));
        for (const [at, one] of gone.entries()) {
          if (one.freesBytes > 0 || one.because === 'too-old') continue;
          const later = gone.slice(at).filter(({ client }) => client === one.client);
          expect(later.some(({ freesBytes }) => freesBytes > 0)).toBe(true);
        }
      }),
    );
  });
});

describe('makePlan, by example', () => {
  const client = (name: string, days: number, bytesPerDay: number, weight = 1) => ({
    name,
    policy: { weight, keepLast: 3 },
    snapshots: Array.from({ length: days }, (_, age): Snapshot => {
      const time = epoch - age * dayMs;
      return { name: new Date(time).toISOString(), time, status: 'ok', bornBytes: bytesPerDay, diedBytes: bytesPerDay };
    }),
  });
  const store = (...clients: StoreState['clients']): StoreState => ({ now: epoch, freeBytes: 0, clients, holds: [] });

  it('lets the client furthest above its share pay, and by weight', () => {
    const payers = (...clients: StoreState['clients']) =>
      new Set(pruned(makePlan(store(...clients), { freeBytes: 100, order: 'importance' })).map(({ client }) => client));
    expect(payers(client('big', 30, 100), client('small', 30, 10))).toEqual(new Set(['big']));
    expect(payers(client('big', 30, 100, 100), client('small', 30, 10))).toEqual(new Set(['small']));
  });

  it('lets nobody pay for a client above that has nothing left, but a client for its own run', () => {
    const state = store(client('flood', 3, 100_000), client('small', 30, 10));
    const plan = makePlan(state, { freeBytes: 50, order: 'importance' });
    expect(pruned(plan)).toEqual([]);
    expect(plan.reached).toBe(false);
    expect(plan.shortfall).toBe(
      'flood is above the fair share and has nothing left to give; the others are within theirs',
    );
    const own = makePlan(state, { freeBytes: 50, order: 'importance', demand: { client: 'small', freeBytes: 20 } });
    expect(pruned(own).map(({ because }) => because)).toEqual(['own-demand', 'own-demand']);
    expect(own.reached).toBe(true);
  });

  // How fast it does so is shown by bench/prune-list.ts: a busy machine must not fail a test.
  it('decides each of 5,000 snapshots of 100 clients', () => {
    const state = store(...Array.from({ length: 100 }, (_, index) => client(`c${index}`, 50, 1000 + index)));
    const plan = makePlan(state, { freeBytes: Number.POSITIVE_INFINITY, order: 'importance' });
    expect(plan.decisions).toHaveLength(5000);
  });
});
