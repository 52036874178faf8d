// The data of a layer whose index alone is here: its blob, from the first place that has it, unpacked and compared with the index while it arrives.
// Where nobody has it any more the layer is forgotten, with everything that was known by way of it, and the error says which blob it was.

import { mkdir } from 'node:fs/promises';
import { hexOf } from '../../base/digest.ts';
import { TbuildError } from '../../base/errors.ts';
import { unpackStream } from '../../images/unpack-stream.ts';
import { Blobs } from '../../oci/blobs.ts';
import type { AbsentData, CacheAddress } from '../../snapshots/absent-data.ts';
import { isPresent, type Layer, type Origin, type PresentLayer } from '../../snapshots/layers.ts';
import { unpackedLimit } from '../../snapshots/unpacked.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import type { Backend } from './backend.ts';
import { openBackend } from './open.ts';

export async function fetchLayer(place: Workplace, layer: Layer, signal: AbortSignal): Promise<PresentLayer> {
  const path = place.store.path('locks', `layer-${hexOf(layer.id).slice(0, 3)}`);
  const { lock } = await place.serve.call('lock', { path, wait: true });
  try {
    // Another process may have done it meanwhile.
    const here = presentAs(place, layer);
    if (here) return here;
    return await fetchAbsent(place, layer, layer.absent as AbsentData, signal);
  } finally {
    await place.serve.call('unlock', { lock: lock as number });
  }
}

function presentAs({ layers }: Workplace, { id, tree, diffId }: Layer): PresentLayer | undefined {
  const same = [layers.get(id), ...(diffId ? layers.withDiffId(diffId) : [])];
  return same.find((layer): layer is PresentLayer => layer !== undefined && isPresent(layer) && layer.tree === tree);
}

async function fetchAbsent(place: Workplace, layer: Layer, data: AbsentData, signal: AbortSignal): Promise<PresentLayer> {
  const failures: unknown[] = [];
  for (const address of data.places) {
    const folder = place.newPath();
    await mkdir(folder);
    try {
      return await withBackend(address, signal, (backend) => unpack(place, folder, layer, data, backend));
    } catch (error) {
      signal.throwIfAborted();
      failures.push(error);
    } finally {
      await place.serve.call('remove', { path: folder }).catch(() => {});
    }
  }
  throw forget(place, layer, data, failures);
}

async function unpack(place: Workplace, folder: string, layer: Layer, data: AbsentData, backend: Backend): Promise<PresentLayer> {
  const { layers, driver, store } = place;
  const { blob, isForeign } = data;
  const { tarSize, diffId } = layer;
  const like = layers.indexPath(layer.id);
  const maxBytes = isForeign ? unpackedLimit(blob.size).maxBytes : (tarSize ?? unpackedLimit(blob.size).maxBytes);
  const chunks = exactly(backend.openBlob(blob), blob.size);
  const { unpacked, out, file } = await unpackStream(place, folder, chunks, { maxBytes, split: isForeign, like });
  if ('failure' in unpacked) throw unpacked.failure;
  const isBlob = `sha256:${unpacked.blobDigest}` === blob.digest && unpacked.blobSize === blob.size;
  if (!isBlob || `sha256:${unpacked.diffId}` !== diffId) throw damaged(`the blob ${blob.digest} holds something else`);
  // What others made goes out as it came.
  if (isForeign) new Blobs(store).adopt(file, blob.digest);
  const foreign = isForeign ? { blob: blob.digest, splitFile: unpacked.split ?? `${out}.split` } : {};
  const origin: Origin = { diffId, tarSize: unpacked.tarSize, ...foreign };
  const present = layers.commit(unpacked, driver.driver, origin);
  // Its contents may stand in other places than they did where the index is from.
  if (present.id !== layer.id) layers.replace(layer, present);
  return present;
}

async function* exactly(chunks: AsyncIterable<Buffer>, size: number): AsyncGenerator<Buffer> {
  let received = 0;
  for await (const chunk of chunks) {
    received += chunk.length;
    if (received > size) break;
    yield chunk;
  }
  if (received !== size) throw damaged(`${received} bytes came of a blob of ${size}`);
}

function damaged(what: string): TbuildError {
  return new TbuildError('store/damaged', what);
}

/** Traces that lead to it are misses from now on; images that have it lack it. */
function forget({ store, layers }: Workplace, layer: Layer, { blob }: AbsentData, failures: readonly unknown[]): TbuildError {
  store.db.immediate(() => {
    store.db.run('DELETE FROM traces WHERE layer = ?', layer.id);
    const known = layers.get(layer.id);
    if (known && !isPresent(known)) layers.condemn([known.id]);
  });
  const why = failures.map((failure) => (failure instanceof Error ? failure.message : String(failure)));
  return new TbuildError('store/layer-gone', `the data of the layer ${layer.diffId} cannot be had any more: ${why.join('; ')}`, {
    cause: failures[0],
    hint: 'build, load or pull again what has it',
    details: { lostBlob: blob.digest },
  });
}

/** From the first place that begins to send it. */
export async function* openBlob(place: Workplace, layer: Layer, data: AbsentData, signal: AbortSignal): AsyncGenerator<Buffer> {
  const failures: unknown[] = [];
  for (const address of data.places) {
    const backend = await openBackend(address, { isWritten: false, signal });
    try {
      let hasBegun = false;
      try {
        for await (const chunk of backend.openBlob(data.blob)) {
          hasBegun = true;
          yield chunk;
        }
        return;
      } catch (error) {
        if (hasBegun || signal.aborted) throw error;
        failures.push(error);
      }
    } finally {
      await backend.close();
    }
  }
  throw forget(place, layer, data, failures);
}

/** Open as long as somebody fetches from them: layers of one image come from one place. */
const open = new Map<string, { backend: Promise<Backend>; users: number }>();

async function withBackend<T>(address: CacheAddress, signal: AbortSignal, work: (backend: Backend) => Promise<T>): Promise<T> {
  const key = JSON.stringify(address);
  const held = open.get(key) ?? { backend: openBackend(address, { isWritten: false, signal }), users: 0 };
  open.set(key, held);
  held.users += 1;
  try {
    return await work(await held.backend);
  } finally {
    held.users -= 1;
    if (held.users === 0) {
      open.delete(key);
      await held.backend.then((backend) => backend.close()).catch(() => {});
    }
  }
}
