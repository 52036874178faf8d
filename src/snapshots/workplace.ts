// One process's hold on a store: the records, the native helper, the layers, and a folder of its own for what is not finished.
// What an earlier process left when it was killed is cleared away when the helper first starts.

import { join } from 'node:path';
import { debug } from '../base/debug.ts';
import { openStore, type Store } from '../base/store.ts';
import { type OwnIds, type Serve, startServe } from '../native/serve.ts';
import { type DriverChoice, findDriver, knownDriver, nameOf } from './driver.ts';
import { Layers } from './layers.ts';

export interface Workplace {
  readonly store: Store;
  readonly serve: Serve;
  readonly layers: Layers;
  readonly driver: DriverChoice;
  /** Of an account that is not root: the ids that it can give to files and processes. */
  readonly ids: OwnIds | undefined;
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
    const known = knownDriver(store);
    const { dir, dead, ids } = await opened;
    const driver = known ?? findDriver(store, dir, ids !== null);
    const layers = new Layers(store, serve, driver.loop, dir);
    if (dead > 0) layers.sweep();
    debug(() => `store ${store.root}, layer driver ${nameOf(driver)} (${driver.reasons.join('; ')}), kernel ${driver.kernel}`);
    if (dead > 0) debug(() => `removed what ${dead} killed processes had not finished`);
    let made = 0;
    if (ids) debug(() => `not root: ${ids.uids} uids, ${ids.gids} gids${ids.whyOne === null ? '' : ` (${ids.whyOne})`}`);
    const close = async () => {
      await serve.close();
      store.close();
    };
    const newPath = () => join(dir, String(++made));
    return { store, serve, layers, driver, ids: ids ?? undefined, newPath, close };
  } catch (error) {
    await serve.close();
    store.close();
    throw error;
  }
}
