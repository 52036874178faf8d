// Before the tests that build: a store that holds the base images and nothing else, for stores.ts to copy. After them: removes what they made.
// That store is kept between runs, and made anew when this tbuild cannot read it. On the checkout's file system, since /tmp may be one
// on which layers cannot be mounted.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync } from 'node:fs';
import path from 'node:path';
import type { TestProject } from 'vitest/node';
import { loadBaseImages, makeBaseImages } from '../../setup/base-images.ts';
import { removeTree } from './own-files.ts';
import { sayWhatIsSkipped } from './root-only.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** A store with the base images, in which nothing is built. */
    readonly basesRoot: string;
    /** A directory for this run's own stores. */
    readonly storesRoot: string;
  }
}

export default async function setup(project: TestProject): Promise<() => void> {
  const state = path.join(import.meta.dirname, '../../.tbuild');
  const basesRoot = path.join(state, 'test-bases');
  mkdirSync(state, { recursive: true });
  await fillBases(basesRoot);
  const storesRoot = mkdtempSync(path.join(state, 'test-stores-'));
  project.provide('basesRoot', basesRoot);
  project.provide('storesRoot', storesRoot);
  return () => {
    removeTree(storesRoot);
    sayWhatIsSkipped();
  };
}

async function fillBases(root: string): Promise<void> {
  const say = (line: string) => console.log(`tests: ${line}`);
  const images = await makeBaseImages(say);
  const env = { ...process.env, TBUILD_ROOT: root };
  try {
    loadBaseImages(images, env, say);
  } catch {
    say('making the store of base images anew, for this tbuild cannot use the one there is');
    removeTree(root);
    loadBaseImages(images, env, say);
  }
  // A kept store may remember an earlier tbuild's findings on this machine; copies of it are given to tests that could not find out themselves.
  execFileSync(path.join(import.meta.dirname, '../../bin/tbuild'), ['info'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
}
