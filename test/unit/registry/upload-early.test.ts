// A layer goes up while it is still being compressed: what is made can be read block by block, and what can be read is sent.

import { hash, randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, expect, it } from 'vitest';
import { makeBlob } from '../../../src/images/layer-blobs.ts';
import type { Descriptor } from '../../../src/oci/descriptor.ts';
import { growingSource } from '../../../src/registry/blob-source.ts';
import { RegistryClient } from '../../../src/registry/client.ts';
import { uploadBlob } from '../../../src/registry/upload.ts';
import { type ImageStore, openImageStore } from '../../support/image-store.ts';
import { startUploadRegistry } from '../../support/upload-registry.ts';

let store: ImageStore;
beforeEach(async () => {
  store = await openImageStore();
});

const sizeOf = (file: string) => statSync(file, { throwIfNoEntry: false })?.size ?? 0;

async function until(isSo: () => boolean): Promise<void> {
  for (let waited = 0; !isSo() && waited < 20_000; waited++) await sleep(1);
}

it.each(['gzip', 'zstd'] as const)('what is compressed with %s is there block by block', async (compression) => {
  const { place } = store;
  const { serve, layers, newPath } = place;
  const [dir, file] = [newPath(), newPath()];
  mkdirSync(dir);
  writeFileSync(`${dir}/noise`, randomBytes(48 << 20));
  const layer = layers.commit(
    await serve.call('packDir', { driver: 'directory', out: newPath(), dir, overlay: false }),
    'directory',
  );
  const { diffId } = await layers.describe(layer);
  let isWhole = false;
  const making = makeBlob(place, { layer, diffId, mediaType: 'x/y', compression, level: undefined }, file).finally(() => {
    isWhole = true;
  });
  await until(() => sizeOf(file) > 0 || isWhole);
  expect(isWhole).toBe(false);
  expect(sizeOf(file)).toBeLessThan((await making).descriptor.size);
});

it('the first bytes arrive while the rest is being made', async () => {
  const registry = await startUploadRegistry();
  const client = new RegistryClient({ signal: new AbortController().signal, env: {} });
  const bytes = randomBytes(3_000_000);
  const descriptor: Descriptor = { mediaType: 'x/y', digest: `sha256:${hash('sha256', bytes)}`, size: bytes.length };
  const file = store.place.newPath();
  let hasArrivedBefore = false;
  const source = growingSource(file, async () => {
    appendFileSync(file, bytes.subarray(0, 1000));
    await until(() => registry.hasBegun);
    hasArrivedBefore = registry.hasBegun;
    appendFileSync(file, bytes.subarray(1000));
    return descriptor;
  });
  await uploadBlob(await client.open({ domain: registry.host, path: 'app' }, { actions: ['push'] }), source);
  await client.close();
  expect(hasArrivedBefore).toBe(true);
  expect(registry.blobs.get(descriptor.digest)?.equals(bytes)).toBe(true);
});
