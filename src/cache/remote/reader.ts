// What `--cache-from` brings to a build: where no trace here holds, an entry of a remote cache that holds becomes one, its layer's index is fetched and
// its data is not. Whatever is wrong with a cache or with what is in it is a miss; each cache is complained of once.

import { writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { zstdDecompress } from 'node:zlib';
import { type Digest, sha256 } from '../../base/digest.ts';
import { TbuildError } from '../../base/errors.ts';
import { compressionOf, type Descriptor } from '../../oci/descriptor.ts';
import { rememberBlob, rememberPlaces } from '../../registry/blob-places.ts';
import type { CacheAddress } from '../../snapshots/absent-data.ts';
import type { Layer } from '../../snapshots/layers.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import { exactDigest, type StepRecord, stepKey, storeTrace, type Trace } from '../traces.ts';
import { type Backend, ENTRIES_MAX, faulty } from './backend.ts';
import { type CacheEntry, decodeEntry, decodeMountEntry, type EntryLayer } from './entry.ts';
import { fetchMount, mountKey } from './mounts.ts';

/** A cache to read, and the public key that its entries must be signed with; undefined: any entry will do. */
export interface Source {
  readonly backend: Backend;
  readonly key: Parameters<typeof decodeEntry>[1];
}

/** Compressed, and as it is. */
const INDEX_MAX_BYTES = 512 << 20;

export interface ImageLayers {
  readonly diffIds: readonly Digest[];
  /** In the image's own registry. */
  readonly blobs: readonly Descriptor[];
  /** In full, without tag and digest. */
  readonly repository: string;
}

export class RemoteReader {
  readonly #place: Workplace;
  readonly #sources: Source[];
  readonly #note: (line: string) => void;
  readonly #signal: AbortSignal;
  /** Blobs that turned out not to be there any more. */
  readonly #lost = new Set<Digest>();
  readonly #said = new Set<string>();

  /** `note`: of a line for the user. */
  constructor(place: Workplace, sources: readonly Source[], note: (line: string) => void, signal: AbortSignal) {
    this.#place = place;
    this.#sources = [...sources];
    this.#note = note;
    this.#signal = signal;
  }

  /** Makes a trace of the store of the first that holds. */
  async find(record: StepRecord, exact: readonly (readonly Digest[])[], matches: (trace: Trace) => boolean): Promise<boolean> {
    const key = stepKey(record);
    const wanted = exact.map(exactDigest);
    const isIt = ({ trace }: CacheEntry) =>
      trace !== undefined && wanted.includes(exactDigest(trace.exact)) && holds(matches, trace);
    const found = await this.#searchEntry(key, wanted, isIt, async (entry, backend) => {
      const [layer] = entry.layers as [EntryLayer];
      const { trace, created, durationMs } = entry as CacheEntry & { trace: Trace };
      const from = { blob: layer.blob as Descriptor, places: [backend.address], isForeign: false };
      await this.#adopt(backend, layer, from, ({ id }) =>
        storeTrace(this.#place.store.db, record, { trace, layer: id, created, durationMs }),
      );
      return true;
    });
    return found ?? false;
  }

  /** The layers of an image whose data is in its registry. */
  findImage(image: ImageLayers): Promise<Layer[] | undefined> {
    if (image.blobs.some(({ digest }) => this.#lost.has(digest))) return Promise.resolve(undefined);
    const places: CacheAddress[] = [{ type: 'registry', repository: image.repository }];
    const wanted = image.diffIds.join();
    const isIt = ({ layers }: CacheEntry) => layers.map(({ diffId }) => diffId).join() === wanted;
    return this.#searchEntry(stepKey(imageRecord(image.diffIds)), [exactDigest([])], isIt, async ({ layers }, backend) => {
      const adopted = layers.map((layer, position) =>
        this.#adopt(backend, layer, { blob: image.blobs[position] as Descriptor, places, isForeign: true }),
      );
      return Promise.all(adopted);
    });
  }

  /** A directory of this process with the contents of a cache mount, as `source`. */
  findMount(name: string): Promise<string | undefined> {
    return this.#search(mountKey(name), [exactDigest([])], async (bytes, { backend, key }) => {
      const entry = decodeMountEntry(bytes, key);
      if (typeof entry === 'string') this.#sayOnce(`an entry of the cache ${backend.label} ${entry}: such entries are not used`);
      return typeof entry === 'string' || entry.name !== name ? undefined : fetchMount(this.#place, backend, entry);
    });
  }

  /** What was found by way of this blob is not found again. */
  forget(blob: Digest): void {
    this.#lost.add(blob);
  }

  async close(): Promise<void> {
    await Promise.all(this.#sources.map(({ backend }) => backend.close()));
  }

  /** What `take` makes of the first entry that it makes something of. */
  async #search<T>(
    key: Digest,
    exacts: readonly Digest[],
    take: (bytes: Buffer, source: Source) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    for (const source of [...this.#sources]) {
      try {
        for (const exact of exacts) {
          const taken = await this.#searchIn(source, key, exact, take);
          if (taken !== undefined) return taken;
        }
      } catch (error) {
        this.#signal.throwIfAborted();
        this.#giveUp(source, error);
      }
    }
    return undefined;
  }

  async #searchIn<T>(
    source: Source,
    key: Digest,
    exact: Digest,
    take: (bytes: Buffer, source: Source) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    const { backend } = source;
    let count = 0;
    for await (const bytes of backend.find(key, exact)) {
      const taken = await take(bytes, source).catch((error) => this.#passOver(backend, error));
      if (taken !== undefined || ++count === ENTRIES_MAX) return taken;
    }
    return undefined;
  }

  /** An entry of a step or an image that is the one. */
  async #searchEntry<T>(
    key: Digest,
    exacts: readonly Digest[],
    isIt: (entry: CacheEntry) => boolean,
    take: (entry: CacheEntry, backend: Backend) => Promise<T>,
  ): Promise<T | undefined> {
    return this.#search(key, exacts, async (bytes, source) => {
      const entry = this.#read(bytes, key, source);
      return entry && isIt(entry) && !this.#isLost(entry) ? take(entry, source.backend) : undefined;
    });
  }

  #read(bytes: Buffer, key: Digest, { backend, key: signer }: Source): CacheEntry | undefined {
    const entry = decodeEntry(bytes, signer);
    if (typeof entry === 'string') this.#sayOnce(`an entry of the cache ${backend.label} ${entry}: such entries are not used`);
    // Who finds another step's entry under this key has found nothing.
    return typeof entry === 'string' || stepKey(entry.record) !== key ? undefined : entry;
  }

  #isLost({ layers }: CacheEntry): boolean {
    return layers.some(({ blob, index }) => this.#lost.has(index.digest) || (blob !== undefined && this.#lost.has(blob.digest)));
  }

  /** A blob that is not there, or not what it should be, is a fault of its entry; any other failure is one of the cache. */
  #passOver({ label }: Backend, error: unknown): undefined {
    if (!(error instanceof TbuildError) || !isFaultOfEntry(error)) throw error;
    this.#sayOnce(`the cache ${label} holds an entry that cannot be used: ${error.message}`);
  }

  #giveUp(source: Source, error: unknown): void {
    const { backend } = source;
    const at = this.#sources.indexOf(source);
    if (at >= 0) this.#sources.splice(at, 1);
    const why = error instanceof Error ? error.message : String(error);
    this.#sayOnce(`the cache ${backend.label} cannot be read, the build goes on without it: ${why}`);
    backend.close().catch(() => {});
  }

  #sayOnce(line: string): void {
    if (this.#said.has(line)) return;
    this.#said.add(line);
    this.#note(line);
  }

  /** The index is checked whole before anything relies on it. */
  async #adopt(
    backend: Backend,
    layer: EntryLayer,
    data: NonNullable<Layer['absent']>,
    alongside?: (layer: Layer) => void,
  ): Promise<Layer> {
    const { serve, layers, driver, store } = this.#place;
    const path = this.#place.newPath();
    writeFileSync(path, await this.#fetchIndex(backend, layer.index));
    const { id, tree, bytes, entries } = await serve.call('verifyIndex', { path });
    if (`blake3:${tree}` !== layer.tree) throw faulty(`the index ${layer.index.digest} is not that of the tree ${layer.tree}`);
    const { diffId, tarSize } = layer;
    const about = { tree: layer.tree, bytes, entries, diffId, tarSize, data };
    const adopted = layers.adopt(`blake3:${id}`, path, about, driver.driver, alongside);
    // So that the image can be pushed with the layers as they are there.
    const compression = compressionOf(data.blob);
    if (compression && !data.isForeign) rememberBlob(store.db, { diffId, compression, level: undefined }, data.blob);
    for (const place of data.places)
      if (place.type === 'registry') rememberPlaces(store.db, place.repository, [data.blob.digest]);
    return adopted;
  }

  async #fetchIndex(backend: Backend, blob: Descriptor): Promise<Buffer> {
    if (blob.size > INDEX_MAX_BYTES) throw faulty(`the index ${blob.digest} has ${blob.size} bytes`);
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of backend.openBlob(blob)) {
      size += chunk.length;
      if (size > blob.size) break;
      chunks.push(chunk);
    }
    const bytes = Buffer.concat(chunks);
    if (size !== blob.size || sha256(bytes) !== blob.digest) throw faulty(`the index ${blob.digest} has other bytes`);
    try {
      return await promisify(zstdDecompress)(bytes, { maxOutputLength: INDEX_MAX_BYTES });
    } catch (cause) {
      throw faulty(`the index ${blob.digest} cannot be decompressed: ${(cause as Error).message}`);
    }
  }
}

/** What an image's layers are found by: no step has such a record. */
export function imageRecord(diffIds: readonly Digest[]): StepRecord {
  return { version: 1, kind: 'image', diffIds };
}

/** A trace from elsewhere may ask what nobody can answer. */
function holds(matches: (trace: Trace) => boolean, trace: Trace): boolean {
  try {
    return matches(trace);
  } catch {
    return false;
  }
}

function isFaultOfEntry({ code }: TbuildError): boolean {
  return ['store/cache-entry', 'store/damaged', 'registry/not-found', 'registry/wrong-size', 'store/bad-index'].includes(code);
}
