// Kinds of tests: `fast` touches no store and runs in parallel; `e2e` builds with the bundled command, one file after the other; `behaviours`
// does, too, several tests at a time; `slow` (kills, full disks, large trees) runs only by `npm run test:slow`, `kernels` (in virtual machines) only
// by `npm run test:kernels`.
import { defineConfig } from 'vitest/config';
import { wholeFiles } from './test/support/root-only.ts';

const e2e = 'test/e2e/**/*.test.ts';
/** A test for each of the behaviours of the language that are easily missed. */
const behaviours = 'test/behaviours/**/*.test.ts';
const slow = 'test/slow/**/*.test.ts';
const kernels = 'test/kernels/**/*.test.ts';
/** What an account without further ids can and cannot do; run by test/rootless/run.sh. */
const rootless = 'test/rootless/**/*.test.ts';
/** They mount, build and share the machine: in parallel they would measure each other. */
const oneByOne = {
  fileParallelism: false,
  globalSetup: 'test/support/base-images.ts',
  setupFiles: 'test/support/skip-root-only.ts',
  hookTimeout: 120_000,
};

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'fast',
          include: ['test/**/*.test.ts'],
          exclude: [e2e, behaviours, slow, kernels, rootless],
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'e2e',
          include: [e2e],
          exclude: wholeFiles(),
          ...oneByOne,
          testTimeout: 120_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'behaviours',
          include: [behaviours],
          ...oneByOne,
          testTimeout: 120_000,
          maxConcurrency: 4,
          sequence: { groupOrder: 2, concurrent: true },
        },
      },
      {
        test: {
          name: 'kernels',
          include: [kernels],
          fileParallelism: false,
          globalSetup: 'test/kernels/prepare.ts',
          hookTimeout: 900_000,
          testTimeout: 900_000,
        },
      },
      { test: { name: 'slow', include: [slow], ...oneByOne, testTimeout: 600_000, sequence: { groupOrder: 3 } } },
      { test: { name: 'rootless', include: [rootless], ...oneByOne, testTimeout: 120_000, sequence: { groupOrder: 4 } } },
    ],
  },
});
