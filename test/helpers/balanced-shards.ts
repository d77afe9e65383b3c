import { relative } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Seconds that the long test files take here, measured; what is not named takes few. Only their proportions matter: they
 * decide which of the private machines that run at once gets which file, and the longest come first.
 */
const seconds: Readonly<Record<string, number>> = {
  'test/integration/attacks/table.test.ts': 135,
  'test/integration/read-while-pruned.test.ts': 123,
  'test/integration/prune.test.ts': 120,
  'test/integration/mounts.test.ts': 118,
  'test/integration/changed-meanwhile.test.ts': 116,
  'test/integration/receive.test.ts': 99,
  'test/integration/backup-run.test.ts': 84,
  'test/integration/attacks/scenarios.test.ts': 82,
  'test/integration/setup-server.test.ts': 72,
  'test/integration/attacks/exhaustion.test.ts': 66,
  'test/integration/packages.test.ts': 65,
  'test/integration/restore.test.ts': 64,
  'test/integration/prune-hurt.test.ts': 59,
  'test/integration/session-checks.test.ts': 52,
  'test/integration/registration.test.ts': 50,
  'test/integration/run-ends.test.ts': 45,
  'test/integration/doctor.test.ts': 43,
  'test/integration/equality.test.ts': 41,
  'test/integration/space.test.ts': 40,
  'test/integration/health.test.ts': 39,
  'test/integration/killed.test.ts': 38,
  'test/integration/objects.test.ts': 35,
  'test/integration/locked.test.ts': 30,
  'test/integration/restore-names.test.ts': 30,
  'test/integration/bitrot.test.ts': 29,
  'test/integration/restores-cut.test.ts': 29,
  'test/integration/proof.test.ts': 28,
  'test/integration/restore-in-place.test.ts': 28,
  'test/integration/setup-client.test.ts': 25,
  'test/integration/interrupted.test.ts': 23,
  'test/integration/bad-day.test.ts': 21,
  'test/integration/secrets.test.ts': 21,
  'test/integration/quota.test.ts': 20,
  'test/integration/nasty.test.ts': 20,
  'test/integration/client-hooks.test.ts': 20,
  'test/integration/excludes.test.ts': 18,
  'test/integration/prune-wire.test.ts': 17,
  'test/integration/attacks/taken-over.test.ts': 16,
  'test/integration/reports.test.ts': 16,
  'test/integration/bad-input.test.ts': 16,
  'test/integration/original.test.ts': 12,
  'test/integration/takeover.test.ts': 12,
  'test/integration/restore-on-server.test.ts': 11,
  'test/integration/whole-machine.test.ts': 10,
  'test/integration/as-a-person.test.ts': 9,
  'test/integration/attacks/forged-text.test.ts': 9,
};

const fewSeconds = 5;

function weight({ project, moduleId }: TestSpecification): number {
  return seconds[relative(project.config.root, moduleId)] ?? fewSeconds;
}

/** Deals the files out so that all shards end at about the same time: the longest first, each to the shard with least to do. */
export class BalancedShards extends BaseSequencer {
  override async shard(files: TestSpecification[]): Promise<TestSpecification[]> {
    const { shard } = this.ctx.config;
    if (shard === undefined) return files;
    const shards = Array.from({ length: shard.count }, () => ({ load: 0, files: [] as TestSpecification[] }));
    const byName = files.toSorted((one, other) => one.moduleId.localeCompare(other.moduleId));
    for (const file of byName.toSorted((one, other) => weight(other) - weight(one))) {
      const idlest = shards.reduce((least, next) => (next.load < least.load ? next : least));
      idlest.files.push(file);
      idlest.load += weight(file);
    }
    return shards[shard.index - 1]?.files ?? [];
  }
}
