// One process's hold on a store: the records, the native helper, the layers, and a folder of its own for what is not finished.
// What an earlier process left when it was killed is cleared away when the helper first starts.

import { join } from 'node:path';
import { debug } from '../base/debug.ts';
import { openStore, type Store } from '../base/store.ts';
import { type OwnIds, type Serve, startServe } from '../native/serve.ts';
import { type DriverChoice, findDriver, knownDriver, nameOf } from './driver.ts';
import { type Fetcher, Layers } from './layers.ts';

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

/** `root`: where the store is; undefined: the default place. `fetcherOf`: what brings in the data of a layer that is elsewhere. */
export async function openWorkplace(root?: string, fetcherOf?: (place: Workplace) => Fetcher): Promise<Workplace> {
  const store = openStore(root);
  const serve = startServe();
  try {
    const opened = serve.call('open', { root: store.root });
    const known = knownDriver(store);
    const { dir, dead, ids } = await opened;
    const driver = known ?? findDriver(store, dir, ids !== null);
    const layers: Layers = new Layers(store, serve, driver.loop, dir, () => fetcherOf?.(place));
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
    const place: Workplace = { store, serve, layers, driver, ids: ids ?? undefined, newPath, close };
    return place;
  } catch (error) {
    await serve.close();
    store.close();
    throw error;
  }
}
