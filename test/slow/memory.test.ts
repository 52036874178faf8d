// How much memory a layer of 2 GiB takes on each of its ways: as much as a small one, give or take what is under way. The bound is that of docs/registries.md.

import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { peakMemory } from '../../bench/measure.ts';
import { makeContext } from '../support/contexts.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { removeTree } from '../support/own-files.ts';
import { emptyStore, freshStore } from '../support/stores.ts';
import { repository, tbuildOk } from '../support/tbuild.ts';

/** Of the largest process. */
const BOUND_MIB = 256;

const tbuild = path.join(repository, 'bin/tbuild');
let registry: DockerRegistry;
let builder: string;
let folder: string;
/** Half of it compresses to nothing, the other half not at all. */
const dockerfile =
  'FROM busybox\nRUN for i in $(seq 8); do dd if=/dev/urandom bs=1M count=64; dd if=/dev/zero bs=1M count=192; done > /large\n';

beforeAll(async () => {
  registry = await startDockerRegistry();
  builder = freshStore();
  folder = makeContext({ Dockerfile: dockerfile });
  await tbuildOk(['-q', '-t', name(), folder], { store: builder });
}, 300_000);
afterAll(() => removeTree(folder));

const name = () => `${registry.host}/large:1`;

it('is bounded', () => {
  const puller = emptyStore();
  const loader = emptyStore();
  const peak = (store: string, command: string) => peakMemory(`${tbuild} ${command}`, { ...process.env, TBUILD_ROOT: store });
  const peaks = {
    push: peak(builder, `push -q ${name()}`),
    pull: peak(puller, `pull -q ${name()}`),
    save: peak(builder, `save --format oci --compression gzip -o ${folder}/gzip.tar ${name()}`),
    'save with zstd': peak(builder, `save --format oci --compression zstd -o ${folder}/zstd.tar ${name()}`),
    load: peak(loader, `load -i ${folder}/gzip.tar`),
  };
  console.log(`MiB of the largest process: ${JSON.stringify(peaks)}`);
  expect(Object.entries(peaks).filter(([, mib]) => mib > BOUND_MIB)).toEqual([]);
});
