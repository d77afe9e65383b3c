/** A pruner in a process of its own, so that a test can kill it: prune-child.ts STORE NOW FREE_BYTES. */
import { serverDefaults } from '../../src/config/server-config.ts';
import { prune } from '../../src/server/prune/prune.ts';
import { openStore } from '../../src/server/store.ts';
import { silentLog } from '../../src/system/log.ts';

const [root = '', now = '0', freeTarget = '0'] = process.argv.slice(2);
const report = await prune(
  { mode: 'run', order: 'importance', freeTarget: Number(freeTarget) },
  {
    store: await openStore({ store: root }),
    config: {
      ...serverDefaults,
      store: root,
      policyOf: () => ({ weight: 1, from: [], window: [], allow: [], report: [] }),
    },
    clock: { now: () => new Date(Number(now)), sleep: (ms) => new Promise((done) => setTimeout(done, ms)) },
    log: silentLog,
  },
);
process.stdout.write(JSON.stringify(report));
