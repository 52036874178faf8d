// A store's records of images and layers, opened without what mounts layers or writes files: neither the driver nor the native helper is
// needed to list images, so neither is waited for. Writes nothing but names and removals.

import { openStore, type Store } from '../base/store.ts';
import { startServe } from '../native/serve.ts';
import { Layers } from '../snapshots/layers.ts';
import { Images } from './store.ts';

export interface Records {
  readonly store: Store;
  readonly images: Images;
  readonly layers: Layers;
}

/** To be closed by `store.close()`. Throws as `openStore` does. */
export function openRecords(root?: string): Records {
  const store = openStore(root);
  // The helper starts with the first call to it, and there is none.
  const layers = new Layers(store, startServe(), false);
  return { store, layers, images: new Images(store, layers) };
}
