// What `--cache-to` takes from a build: an entry for each step that has a result and for each base image, and the blobs that they name. What the cache
// has is not sent; one that cannot be written does not keep the others from it.

import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import pLimit from 'p-limit';
import { canonicalJson, type Digest, sha256 } from '../../base/digest.ts';
import { makeBlob } from '../../images/layer-blobs.ts';
import { type Compression, compressionOf, type Descriptor, layerMediaType } from '../../oci/descriptor.ts';
import { knownBlob, rememberBlob, rememberPlaces } from '../../registry/blob-places.ts';
import type { Layer } from '../../snapshots/layers.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import { exactDigest, type Recorded, type StepRecord, stepKey } from '../traces.ts';
import type { Backend, EntryName } from './backend.ts';
import { type CacheEntry, type EntryLayer, encodeEntry } from './entry.ts';
import { imageRecord } from './reader.ts';

export interface StepToKeep {
  readonly record: StepRecord;
  readonly recorded: Recorded;
  readonly whole?: (() => readonly Digest[]) | undefined;
  readonly layer: Layer;
}

export interface WriterOptions {
  /** Of the layers' blobs. */
  readonly compression: Compression;
  readonly level?: number | undefined;
  /** Signs entries. */
  readonly key?: Parameters<typeof encodeEntry>[1];
}

export interface Written {
  /** Of steps and images, those that were there and those that are new. */
  readonly known: number;
  readonly added: number;
  /** Sent. */
  readonly bytes: number;
}

const AT_A_TIME = 4;

export class RemoteWriter {
  readonly #place: Workplace;
  readonly #backend: Backend;
  readonly #options: WriterOptions;
  readonly #limit = pLimit(AT_A_TIME);
  /** By digest, or by layer: several entries name one. */
  readonly #sending = new Map<string, Promise<Descriptor>>();
  #bytes = 0;

  constructor(place: Workplace, backend: Backend, options: WriterOptions) {
    this.#place = place;
    this.#backend = backend;
    this.#options = options;
  }

  /** `images`: the layers of base images, bottom first. Throws the first failure, when everything else has been tried. */
  async write(steps: readonly StepToKeep[], images: readonly (readonly Layer[])[]): Promise<Written> {
    const outcomes = await Promise.allSettled([
      ...steps.map((step) => this.#limit(() => this.#writeStep(step))),
      ...images.map((layers) => this.#limit(() => this.#writeImage(layers))),
    ]);
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed) throw failed.reason;
    const added = outcomes.filter((outcome) => outcome.status === 'fulfilled' && outcome.value).length;
    return { known: outcomes.length - added, added, bytes: this.#bytes };
  }

  async #writeStep({ record, recorded, whole, layer }: StepToKeep): Promise<boolean> {
    const { trace, created, durationMs } = recorded;
    const name = { key: stepKey(record), exact: exactDigest(trace.exact), trace: sha256(canonicalJson(trace)) };
    const make = async (): Promise<CacheEntry> => {
      const blob = await this.#sendOnce(layer.id, () => this.#sendLayer(layer));
      const described = await this.#describe(layer);
      return { record, trace, created, durationMs: Math.round(durationMs), layers: [{ ...described, blob }] };
    };
    const isNew = await this.#writeEntry(name, make);
    if (whole && this.#backend.findsNewestOnly) await this.#writeEntry({ ...name, exact: exactDigest(whole()) }, make);
    return isNew;
  }

  /** Indexes alone: the data is in the image's registry. */
  async #writeImage(layers: readonly Layer[]): Promise<boolean> {
    const described = await Promise.all(layers.map((layer) => this.#place.layers.describe(layer)));
    const diffIds = described.map(({ diffId }) => diffId);
    const record = imageRecord(diffIds);
    const name = { key: stepKey(record), exact: exactDigest([]), trace: sha256('') };
    return this.#writeEntry(name, async () => ({
      record,
      created: Date.now(),
      durationMs: 0,
      layers: await Promise.all(layers.map((layer) => this.#describe(layer))),
    }));
  }

  async #writeEntry(name: EntryName, make: () => Promise<CacheEntry>): Promise<boolean> {
    if (await this.#backend.has(name)) return false;
    const entry = await make();
    const bytes = encodeEntry(entry, this.#options.key);
    const blobs = entry.layers.flatMap(({ index, blob }) => (blob ? [index, blob] : [index]));
    await this.#backend.put(name, bytes, blobs);
    this.#bytes += bytes.length;
    return true;
  }

  async #describe(layer: Layer): Promise<EntryLayer> {
    const { tree, bytes, entries } = layer;
    const { diffId, tarSize } = await this.#place.layers.describe(layer);
    const index = await this.#sendOnce(`index of ${layer.id}`, () => this.#sendIndex(layer));
    return { index, tree, bytes, entries, diffId, tarSize };
  }

  async #sendIndex(layer: Layer): Promise<Descriptor> {
    const plain = readFileSync(this.#place.layers.indexPath(layer.id));
    const bytes = await promisify(zstdCompress)(plain, { params: { [constants.ZSTD_c_compressionLevel]: 9 } });
    const blob = { mediaType: 'application/vnd.tbuild.index.v1+zstd', digest: sha256(bytes), size: bytes.length };
    if (await this.#backend.hasBlob(blob)) return blob;
    await this.#backend.putBlob(blob, { bytes });
    this.#bytes += blob.size;
    return blob;
  }

  async #sendLayer(layer: Layer): Promise<Descriptor> {
    if (layer.absent && compressionOf(layer.absent.blob) !== undefined) {
      const { blob } = layer.absent;
      return this.#sendBlob(blob, async () => ({ chunks: () => this.#place.layers.openAbsent(layer) }));
    }
    const { compression, level } = this.#options;
    const { diffId } = await this.#place.layers.describe(layer);
    const unmade = { layer, diffId, mediaType: layerMediaType(compression), compression, level };
    const known = knownBlob(this.#place.store.db, unmade);
    if (known && (await this.#backend.hasBlob(known))) return this.#remember(known);
    const { descriptor, file } = await makeBlob(this.#place, unmade);
    rememberBlob(this.#place.store.db, unmade, descriptor);
    try {
      return await this.#sendBlob(descriptor, async () => ({ file }));
    } finally {
      await this.#place.serve.call('remove', { path: file });
    }
  }

  async #sendBlob(blob: Descriptor, open: () => Promise<Parameters<Backend['putBlob']>[1]>): Promise<Descriptor> {
    if (!(await this.#backend.hasBlob(blob))) {
      await this.#backend.putBlob(blob, await open());
      this.#bytes += blob.size;
    }
    return this.#remember(blob);
  }

  /** From there images are mounted. */
  #remember(blob: Descriptor): Descriptor {
    const { address } = this.#backend;
    if (address.type === 'registry') rememberPlaces(this.#place.store.db, address.repository, [blob.digest]);
    return blob;
  }

  #sendOnce(key: string, send: () => Promise<Descriptor>): Promise<Descriptor> {
    const sending = this.#sending.get(key) ?? send();
    this.#sending.set(key, sending);
    return sending;
  }
}
