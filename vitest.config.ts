import { defineConfig } from 'vitest/config';
import { BalancedShards } from './test/helpers/balanced-shards.ts';

export default defineConfig({
  test: {
    sequence: { sequencer: BalancedShards },
    projects: [
      {
        // Fast and without root, beside what they test; and the rules of the house itself.
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'packaging/**/*.test.ts', 'test/house/**/*.test.ts'],
          // Properties take thousands of steps, and a busy machine its time; what hangs is still told.
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        // The real executables of a fresh build, as a person calls them.
        test: {
          name: 'cli',
          include: ['test/cli/**/*.test.ts'],
          globalSetup: ['test/helpers/build-first.ts'],
          setupFiles: ['test/helpers/to-exit-with.ts'],
          testTimeout: 30_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        // As root on the machine itself: that what runs on a private machine leaves this one as it was.
        test: {
          name: 'outside',
          include: ['test/outside/**/*.test.ts'],
          setupFiles: ['test/helpers/to-exit-with.ts'],
          testTimeout: 60_000,
          fileParallelism: false,
          sequence: { groupOrder: 3 },
        },
      },
      {
        // The page in Chromium and the metrics with promtool, both of the distribution: `npm run test:page`.
        test: {
          name: 'page',
          include: ['test/page/**/*.test.ts'],
          globalSetup: ['test/helpers/only-on-a-private-machine.ts'],
          fileParallelism: false,
          sequence: { groupOrder: 4 },
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        // On a private machine on which systemd is the first process: `npm run test:systemd`.
        test: {
          name: 'systemd',
          include: ['test/systemd/**/*.test.ts'],
          globalSetup: ['test/helpers/only-on-a-private-machine.ts'],
          setupFiles: ['test/helpers/to-exit-with.ts'],
          fileParallelism: false,
          sequence: { groupOrder: 5 },
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        // Machines that are lost, restored and booted: `npm run test:boot`.
        test: {
          name: 'boot',
          include: ['test/boot/**/*.test.ts'],
          globalSetup: ['test/helpers/only-on-a-private-machine.ts'],
          setupFiles: ['test/helpers/to-exit-with.ts'],
          fileParallelism: false,
          sequence: { groupOrder: 6 },
          // Minutes without hardware acceleration; what hangs is told by the test itself.
          testTimeout: 2_400_000,
          hookTimeout: 600_000,
        },
      },
      {
        // A busy source that rests, for as many rounds as are asked for: `npm run test:judge`.
        test: {
          name: 'judge',
          include: ['test/judge/**/*.test.ts'],
          globalSetup: ['test/helpers/only-on-a-private-machine.ts'],
          setupFiles: ['test/helpers/to-exit-with.ts'],
          fileParallelism: false,
          sequence: { groupOrder: 7 },
          hookTimeout: 300_000,
        },
      },
      {
        // As root on a private machine, one file after the other: they share its users, its sshd, its /etc.
        // Start them with `npm run test:integration`.
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts', 'test/judge/**/*.test.ts'],
          globalSetup: ['test/helpers/only-on-a-private-machine.ts'],
          setupFiles: ['test/helpers/to-exit-with.ts'],
          fileParallelism: false,
          sequence: { groupOrder: 2 },
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
