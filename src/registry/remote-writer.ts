// Writes images of the store to a repository: layers first, some of them at a time, then the config, then the manifest, an index after its manifests. A blob
// that the registry has is not sent; what others made goes out as it came. What was learned of blobs is remembered for the next time.

import { rm } from 'node:fs/promises';
import pLimit, { type LimitFunction } from 'p-limit';
import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { Attestation } from '../images/attestations.ts';
import {
  configDescriptor,
  type Document,
  type DocumentOptions,
  describe,
  indexOf,
  isAsItCame,
  manifestOf,
} from '../images/documents.ts';
import type { Image, ImageIndex } from '../images/image.ts';
import {
  type AbsentBlob,
  type BlobOptions,
  type LayerBlob,
  makeBlob,
  planBlobs,
  planOriginals,
  type UnmadeBlob,
} from '../images/layer-blobs.ts';
import type { Images } from '../images/store.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { formatReference, parseReference, type Reference } from '../oci/reference.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { knownBlob, placesOf, rememberBlob, rememberPlaces } from './blob-places.ts';
import { type BlobSource, bytesSource, farSource, fileSource, growingSource, streamSource } from './blob-source.ts';
import type { RegistryClient } from './client.ts';
import type { Repository } from './repository.ts';
import { uploadBlob } from './upload.ts';

/** What happens to the layers of an image, as it happens. A layer is called by its diff ID: its blob may not be known yet. */
export type BlobEvent =
  /** Once for each image, before its other events; bottom first. */
  | { readonly type: 'layers'; readonly layers: readonly Digest[] }
  | { readonly type: 'exists'; readonly layer: Digest }
  | { readonly type: 'mounted'; readonly layer: Digest; readonly from: string }
  /** `sizeBytes` undefined: it is still being made. */
  | { readonly type: 'progress'; readonly layer: Digest; readonly bytes: number; readonly sizeBytes: number | undefined }
  | { readonly type: 'pushed'; readonly layer: Digest };

/** What is sent at a time: as docker does. */
const UPLOADS_AT_A_TIME = 5;
/** Each is made by as many threads as there are CPUs. */
const MADE_AT_A_TIME = 2;

/** A blob that is elsewhere. */
interface FarBlob {
  readonly descriptor: Descriptor;
  /** Undefined: the repository that is written to has it. */
  readonly from: Repository | undefined;
}

type Planned = LayerBlob | AbsentBlob | UnmadeBlob | FarBlob;

export class RemoteWriter {
  readonly #client: RegistryClient;
  readonly #place: Workplace;
  readonly #images: Images;
  readonly #reference: Reference;
  readonly #repository: Repository;
  readonly #options: BlobOptions & DocumentOptions;
  readonly #onEvent: (event: BlobEvent) => void;
  readonly #uploads: LimitFunction = pLimit({ concurrency: UPLOADS_AT_A_TIME, rejectOnClear: true });
  readonly #making: LimitFunction = pLimit(MADE_AT_A_TIME);
  /** By digest, or by diff ID: several images share layers. */
  readonly #sent = new Map<string, Promise<Descriptor>>();
  /** Digests of manifests that are there. */
  readonly #written = new Set<Digest>();

  private constructor(
    client: RegistryClient,
    place: Workplace,
    images: Images,
    reference: Reference,
    repository: Repository,
    options: BlobOptions & DocumentOptions,
    onEvent: (event: BlobEvent) => void,
  ) {
    this.#client = client;
    this.#place = place;
    this.#images = images;
    this.#reference = reference;
    this.#repository = repository;
    this.#options = options;
    this.#onEvent = onEvent;
  }

  /** Of `reference` the repository counts. */
  static async open(
    client: RegistryClient,
    place: Workplace,
    images: Images,
    reference: Reference,
    options: BlobOptions & DocumentOptions,
    onEvent: (event: BlobEvent) => void,
  ): Promise<RemoteWriter> {
    const repository = await client.open(reference, { actions: ['pull', 'push'] });
    return new RemoteWriter(client, place, images, reference, repository, options, onEvent);
  }

  /** Under a tag, or without one by its digest. */
  async write(subject: Image | ImageIndex, tag: string | undefined): Promise<Descriptor> {
    const { domain, path } = this.#reference;
    const { descriptor } = 'document' in subject ? await this.#writeIndex(subject, tag) : await this.#writeImage(subject, tag);
    this.#images.pin(subject, formatReference({ domain, path, digest: descriptor.digest }));
    return descriptor;
  }

  async #writeIndex(subject: ImageIndex, tag: string | undefined): Promise<Document> {
    const manifests: Descriptor[] = [];
    for (const { image } of subject.images) manifests.push((await this.#writeImage(image, undefined)).descriptor);
    const index = await indexOf(this.#place, this.#images.blobs, subject, manifests, this.#options);
    for (const attestation of index.attestations) await this.#writeAttestation(attestation);
    await this.#putManifest(index, tag);
    return index;
  }

  async #writeAttestation({ descriptor, blobs: [manifest, ...blobs] }: Attestation): Promise<void> {
    for (const bytes of blobs) {
      const blob = describe(bytes, 'application/octet-stream').descriptor;
      await this.#send(blob, () => bytesSource(blob, bytes));
    }
    await this.#putManifest({ descriptor, bytes: manifest as Buffer }, undefined);
  }

  async #writeImage(image: Image, tag: string | undefined): Promise<Document> {
    this.#onEvent({ type: 'layers', layers: image.config.rootfs.diff_ids as Digest[] });
    const original = isAsItCame(this.#options) ? this.#images.originalManifest(image) : undefined;
    const originals = original && (await this.#findOriginals(image, original.manifest.layers));
    const planned = originals ?? planBlobs(this.#place, this.#images.blobs, image, this.#options);
    const layers = await this.#sendAll(image, planned);
    const manifest =
      original && originals ? describe(original.bytes, original.manifest.mediaType) : manifestOf(image, layers, this.#options);
    const config = original && originals ? original.manifest.config : configDescriptor(image, this.#options.dialect);
    await this.#send(config, () => bytesSource(config, Buffer.from(image.configText)));
    await this.#putManifest(manifest, tag);
    const digests = layers.map(({ digest }) => digest);
    rememberPlaces(this.#place.store.db, this.#repository.name, digests);
    return manifest;
  }

  /** The blobs of the manifest an image came with; undefined: one of them is nowhere any more. Those that are not here are where they came from. */
  async #findOriginals(image: Image, layers: readonly Descriptor[]): Promise<Planned[] | undefined> {
    const near = planOriginals(this.#place, this.#images.blobs, image, layers);
    const all = await Promise.all(near.map((blob, position) => blob ?? this.#findFar(layers[position] as Descriptor)));
    return all.every((blob) => blob !== undefined) ? all : undefined;
  }

  async #findFar(descriptor: Descriptor): Promise<FarBlob | undefined> {
    if ((await this.#repository.headBlob(descriptor.digest)) !== undefined) return { descriptor, from: undefined };
    for (const name of placesOf(this.#place.store.db, descriptor.digest)) {
      try {
        const from = await this.#client.open(parseReference(name), { actions: ['pull'] });
        if ((await from.headBlob(descriptor.digest)) === descriptor.size) return { descriptor, from };
      } catch (error) {
        // It may be gone, or not be ours to read any more.
        if (!(error instanceof TbuildError)) throw error;
      }
    }
    return undefined;
  }

  /** After a failure nothing more is begun, and what is under way is waited for. */
  async #sendAll(image: Image, planned: readonly Planned[]): Promise<Descriptor[]> {
    const failures: unknown[] = [];
    const sending = planned.map((blob, position) => {
      const diffId = image.config.rootfs.diff_ids[position] as Digest;
      return this.#sendLayer(diffId, blob).catch((error: unknown) => {
        failures.push(error);
        this.#uploads.clearQueue();
        throw error;
      });
    });
    const sent = await Promise.allSettled(sending);
    if (failures.length > 0) throw failures[0];
    return sent.map((each) => (each as PromiseFulfilledResult<Descriptor>).value);
  }

  async #sendLayer(diffId: Digest, blob: Planned): Promise<Descriptor> {
    const { mediaType } = 'descriptor' in blob ? blob.descriptor : blob;
    const key = 'descriptor' in blob ? blob.descriptor.digest : diffId;
    const known = this.#sent.get(key);
    const sending = known ?? this.#uploads(() => this.#transfer(diffId, blob));
    this.#sent.set(key, sending);
    const { digest, size } = await sending;
    if (known) this.#onEvent({ type: 'exists', layer: diffId });
    return { mediaType, digest, size };
  }

  /** Asks, mounts, or sends. */
  async #transfer(layer: Digest, blob: Planned): Promise<Descriptor> {
    const { db } = this.#place.store;
    const known = 'descriptor' in blob ? blob.descriptor : knownBlob(db, blob);
    if (known && (await this.#repository.headBlob(known.digest)) !== undefined) {
      this.#onEvent({ type: 'exists', layer });
      return known;
    }
    const mount = known && this.#mountable(known.digest);
    const { source, end } = this.#sourceOf(blob);
    try {
      const onProgress = (bytes: number) => this.#onEvent({ type: 'progress', layer, bytes, sizeBytes: source.known?.size });
      const how = await uploadBlob(this.#repository, source, { mount, onProgress });
      this.#onEvent(how === 'mounted' ? { type: 'mounted', layer, from: mount?.from as string } : { type: 'pushed', layer });
      return how === 'mounted' ? (known as Descriptor) : await source.whole;
    } finally {
      await end();
    }
  }

  /** `end`: to be called when no more is read, whatever happened. */
  #sourceOf(blob: Planned): { readonly source: BlobSource; readonly end: () => Promise<void> } {
    const end = async () => {};
    if ('file' in blob) return { source: fileSource(blob.descriptor, blob.file), end };
    if ('absent' in blob) {
      const open = () => this.#place.layers.openAbsent(blob.absent);
      return { source: streamSource(blob.descriptor, open), end };
    }
    if ('from' in blob) return { source: farSource(blob.descriptor, blob.from ?? this.#repository), end };
    const file = this.#place.newPath();
    let making: Promise<unknown> = Promise.resolve();
    const source = growingSource(file, () => {
      const made = this.#making(async () => {
        const { descriptor } = await makeBlob(this.#place, blob, file);
        rememberBlob(this.#place.store.db, blob, descriptor);
        return descriptor;
      });
      making = made.catch(() => {});
      return made;
    });
    const remove = async () => {
      await making;
      await rm(file, { force: true });
    };
    return { source, end: remove };
  }

  /** Path of another repository of this registry that has it, as far as is known. */
  #mountable(digest: Digest): { readonly digest: Digest; readonly from: string } | undefined {
    const { domain, path } = this.#reference;
    const others = placesOf(this.#place.store.db, digest).map(parseReference);
    const from = others.find((other) => other.domain === domain && other.path !== path)?.path;
    return from === undefined ? undefined : { digest, from };
  }

  /** A small blob. */
  #send(descriptor: Descriptor, open: () => BlobSource): Promise<Descriptor> {
    const send = async (): Promise<Descriptor> => {
      if ((await this.#repository.headBlob(descriptor.digest)) === undefined) await uploadBlob(this.#repository, open());
      return descriptor;
    };
    const sending = this.#sent.get(descriptor.digest) ?? send();
    this.#sent.set(descriptor.digest, sending);
    return sending;
  }

  async #putManifest({ descriptor, bytes }: Document, tag: string | undefined): Promise<void> {
    if (tag === undefined && this.#written.has(descriptor.digest)) return;
    await this.#repository.putManifest(descriptor, bytes, tag ?? descriptor.digest);
    this.#written.add(descriptor.digest);
  }
}
