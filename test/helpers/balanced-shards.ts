import { relative } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Seconds that the long test files take here, measured; what is not named takes few. Only their proportions matter: they
 * decide which of the private machines that run at once gets which file, and the longest come first.
 */
const seconds: Readonly<Record<string, number>> = {
  'test/integration/prune.test.ts': 149,
  'test/integration/attacks/table.test.ts': 75,
  'test/integration/changed-meanwhile.test.ts': 48,
  'test/integration/receive.test.ts': 39,
  'test/integration/attacks/exhaustion.test.ts': 33,
  'test/integration/attacks/scenarios.test.ts': 31,
  'test/integration/packages.test.ts': 30,
  'test/integration/backup-run.test.ts': 28,
  'test/integration/setup-server.test.ts': 28,
  'test/integration/mounts.test.ts': 26,
  'test/integration/restore.test.ts': 26,
  'test/integration/objects.test.ts': 25,
  'test/integration/prune-hurt.test.ts': 24,
  'test/integration/session-checks.test.ts': 22,
  'test/integration/registration.test.ts': 18,
  'test/integration/health.test.ts': 18,
  'test/integration/equality.test.ts': 17,
  'test/integration/space.test.ts': 16,
  'test/integration/restore-in-place.test.ts': 16,
  'test/integration/doctor.test.ts': 15,
  'test/integration/run-ends.test.ts': 15,
  'test/integration/killed.test.ts': 14,
  'test/integration/setup-client.test.ts': 13,
  'test/integration/bitrot.test.ts': 12,
  'test/integration/bad-day.test.ts': 12,
  'test/integration/restore-names.test.ts': 11,
  'test/integration/quota.test.ts': 10,
  'test/integration/restores-cut.test.ts': 10,
  'test/integration/proof.test.ts': 9,
  'test/integration/nasty.test.ts': 8,
  'test/integration/secrets.test.ts': 8,
  'test/integration/prune-wire.test.ts': 8,
  'test/integration/interrupted.test.ts': 7,
  'test/integration/excludes.test.ts': 7,
  'test/integration/client-hooks.test.ts': 7,
  'test/integration/reports.test.ts': 6,
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
