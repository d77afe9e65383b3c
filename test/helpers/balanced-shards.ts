import { relative } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Seconds that the long test files take here, measured; what is not named takes few. Only their proportions matter: they
 * decide which of the private machines that run at once gets which file, and the longest come first.
 */
const seconds: Readonly<Record<string, number>> = {
  'test/integration/prune.test.ts': 150,
  'test/integration/attacks/table.test.ts': 100,
  'test/integration/prune-hurt.test.ts': 80,
  'test/integration/packages.test.ts': 100,
  'test/integration/attacks/scenarios.test.ts': 60,
  'test/integration/setup-server.test.ts': 60,
  'test/integration/receive.test.ts': 60,
  'test/integration/restore.test.ts': 50,
  'test/integration/backup-run.test.ts': 50,
  'test/integration/equality.test.ts': 50,
  'test/integration/setup-client.test.ts': 35,
  'test/integration/registration.test.ts': 35,
  'test/integration/nasty.test.ts': 30,
  'test/integration/doctor.test.ts': 15,
  'test/integration/original.test.ts': 12,
  'test/integration/bad-input.test.ts': 15,
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
