// One process's hold on a store: the records, the native helper, the layers, and a folder of its own for what is not finished.
// What an earlier process left when it was killed is cleared away when the helper first starts.

import { join } from 'node:path';
import { openStore, type Store } from '../base/store.ts';
import { type Serve, startServe } from '../native/serve.ts';
import { chooseDriver, type DriverChoice } from './driver.ts';
import { Layers } from './layers.ts';

export interface Workplace {
  readonly store: Store;
  readonly serve: Serve;
  readonly layers: Layers;
  readonly driver: DriverChoice;
  /** A path that nothing is at yet, in this process's folder, which goes when the process does. */
  newPath(): string;
  /** Ends the helper and closes the records. */
  close(): Promise<void>;
}

/** `root`: where the store is; undefined: the default place. */
export async function openWorkplace(root?: string): Promise<Workplace> {
  const store = openStore(root);
  const serve = startServe();
  try {
    const opened = serve.call('open', { root: store.root });
    const driver = chooseDriver(store);
    const { dir, dead } = await opened;
    const layers = new Layers(store, serve, driver.loop);
    if (dead > 0) layers.sweep();
    let made = 0;
    const close = async () => {
      await serve.close();
      store.close();
    };
    return { store, serve, layers, driver, newPath: () => join(dir, String(++made)), close };
  } catch (error) {
    await serve.close();
    store.close();
    throw error;
  }
}
