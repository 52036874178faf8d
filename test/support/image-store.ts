// A store of its own for tests of images, without mounts: the directory driver, so that it works wherever tests do. In memory where there is such a
// folder, for a store's making waits for the disk five times. Removed after each test.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach } from 'vitest';
import type { Digest } from '../../src/base/digest.ts';
import { openStore } from '../../src/base/store.ts';
import { Images } from '../../src/images/store.ts';
import { type Driver, startServe } from '../../src/native/serve.ts';
import type { ContainerConfig } from '../../src/oci/config.ts';
import { encodeImageConfig } from '../../src/oci/image-config.ts';
import { type Layer, Layers } from '../../src/snapshots/layers.ts';
import type { Workplace } from '../../src/snapshots/workplace.ts';

export interface ImageStore {
  readonly place: Workplace;
  readonly images: Images;
  /** A layer with these files. */
  addLayer(files: Readonly<Record<string, string>>): Promise<Layer>;
  /** An image of ours; its config holds `label`, so that two of them differ. */
  addImage(layers: readonly Layer[], names: readonly string[], label?: string): Promise<Digest>;
}

const opened: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});

export async function openImageStore(driver: Driver = 'directory'): Promise<ImageStore> {
  const memory = '/dev/shm';
  const root = mkdtempSync(path.join(existsSync(memory) ? memory : tmpdir(), 'tbuild-images-'));
  const store = openStore(root);
  const serve = startServe();
  opened.push(async () => {
    await serve.close();
    store.close();
    rmSync(root, { recursive: true });
  });
  const { dir } = await serve.call('open', { root });
  const layers = new Layers(store, serve, false, dir);
  let made = 0;
  const newPath = () => path.join(dir, String(++made));
  const place: Workplace = {
    store,
    serve,
    layers,
    driver: { driver, loop: false, reasons: [], takesUppers: true, userns: true, kernel: '', fileSystem: 0, forced: false },
    ids: undefined,
    newPath,
    close: async () => {},
  };
  const images = new Images(store, layers);
  return {
    place,
    images,
    addLayer: async (files) =>
      layers.commit(await serve.call('writeLayer', { driver, out: newPath(), sources: [], entries: entriesOf(files) }), driver),
    addImage: async (own, names, label = '') => {
      const described = await Promise.all(own.map((layer) => layers.describe(layer)));
      return images.put({
        config: configOf(
          described.map(({ diffId }) => diffId),
          { Labels: { label } },
        ),
        layers: own,
        names,
      }).id;
    },
  };
}

function entriesOf(files: Readonly<Record<string, string>>) {
  const owner = { uid: 0, gid: 0, mtime: [0, 0] as const };
  return Object.entries(files).map(([name, text]) => ({
    path: name,
    type: 'file' as const,
    mode: 0o644,
    ...owner,
    text,
    size: Buffer.byteLength(text),
  }));
}

export function configOf(diffIds: readonly Digest[], config: ContainerConfig = {}): Buffer {
  const history = diffIds.map((_, position) => ({ created_by: `layer ${position}`, created: '2026-01-01T00:00:00Z' }));
  return encodeImageConfig({
    os: 'linux',
    architecture: 'amd64',
    created: '2026-01-01T00:00:00Z',
    config,
    rootfs: { type: 'layers', diff_ids: diffIds },
    history,
  });
}
