// A remote cache in a repository of a registry. Each entry is a manifest under a tag of its own, which begins with what it is found by: tags are listed
// once for a build, for there are registries with nothing else to find by (distribution 2 has no referrers). The manifest names the entry's blobs, so
// that the registry keeps them; small ones stand in it as well (image-spec 1.1, descriptor.md, `data`), so that a step costs one request.

import { type Digest, hexOf, sha256 } from '../../base/digest.ts';
import { TbuildError } from '../../base/errors.ts';
import { type Descriptor, MAX_MANIFEST_BYTES, mediaTypes, parseManifest } from '../../oci/descriptor.ts';
import { parseReference, type Reference } from '../../oci/reference.ts';
import { type BlobSource, bytesSource, fileSource, streamSource } from '../../registry/blob-source.ts';
import { RegistryClient } from '../../registry/client.ts';
import type { Repository } from '../../registry/repository.ts';
import { uploadBlob } from '../../registry/upload.ts';
import type { CacheAddress } from '../../snapshots/absent-data.ts';
import { type Backend, type BlobContent, ENTRIES_MAX, type EntryName } from './backend.ts';
import { chooseLeaving, type KeptEntry } from './prune.ts';

const ENTRY_TYPE = 'application/vnd.tbuild.cache.entry.v1';
const TAG = /^tbuild-([0-9a-f]{40})-([0-9a-f]{16})-([0-9a-f]{24})$/;
/** Of all of a repository, whoever wrote them. */
const TAGS_MAX = 500_000;
/** Blobs up to this size stand in the manifest. */
const INLINE_MAX_BYTES = 64 << 10;
/** Registries take manifests up to 4 MiB. */
const INLINE_TOTAL_BYTES = 1 << 20;

export interface RegistryOptions {
  readonly isWritten: boolean;
  /** Paths of repositories of the same registry that have a blob, as far as is known. */
  readonly mountsOf?: (digest: Digest) => readonly string[];
  readonly signal: AbortSignal;
}

export async function openRegistry(
  address: Extract<CacheAddress, { type: 'registry' }>,
  { isWritten, mountsOf = () => [], signal }: RegistryOptions,
): Promise<Backend> {
  const reference = parseReference(address.repository);
  const client = new RegistryClient({ signal });
  const open = (actions: ('pull' | 'push' | 'delete')[]) => client.open(reference, { actions });
  const repository = await open(isWritten ? ['pull', 'push'] : ['pull']);
  return {
    ...new RegistryCache(address, reference, repository, mountsOf).backend(() => open(['pull', 'delete'])),
    close: () => client.close(),
  };
}

class RegistryCache {
  readonly #address: CacheAddress;
  readonly #reference: Reference;
  readonly #repository: Repository;
  readonly #mountsOf: (digest: Digest) => readonly string[];
  #tags: Promise<Map<string, string[]>> | undefined;
  /** Blobs that stood in manifests. */
  readonly #inline = new Map<Digest, Buffer>();

  constructor(
    address: CacheAddress,
    reference: Reference,
    repository: Repository,
    mountsOf: (digest: Digest) => readonly string[],
  ) {
    this.#address = address;
    this.#reference = reference;
    this.#repository = repository;
    this.#mountsOf = mountsOf;
  }

  backend(openForDeletion: () => Promise<Repository>): Omit<Backend, 'close'> {
    return {
      label: this.#repository.name,
      address: this.#address,
      find: (key, exact) => this.#find(key, exact),
      has: async (name) => ((await this.#listed()).get(group(name.key, name.exact)) ?? []).includes(tagOf(name)),
      put: (name, entry, blobs) => this.#put(name, entry, blobs),
      hasBlob: async ({ digest }) => this.#inline.has(digest) || (await this.#repository.headBlob(digest)) !== undefined,
      openBlob: (blob) => this.#openBlob(blob),
      putBlob: (blob, content) => this.#putBlob(blob, content),
      prune: async (options) => {
        const deleting = await openForDeletion();
        const entries = await this.#all();
        const sizes = new Map(entries.flatMap(({ sizes }) => [...sizes]));
        const leaving = chooseLeaving(entries, sizes, options);
        for (const { id } of leaving.entries) await remove(deleting, id);
        // What no manifest names goes when the registry collects its garbage.
        const freed = [...sizes].filter(([blob]) => leaving.blobs.has(blob));
        const sum = (numbers: readonly number[]) => numbers.reduce((all, each) => all + each, 0);
        const freedBytes = sum(freed.map(([, bytes]) => bytes));
        return {
          entries: leaving.entries.length,
          blobs: freed.length,
          freedBytes,
          keptBytes: sum([...sizes.values()]) - freedBytes,
        };
      },
    };
  }

  /** By what they are found by. */
  #listed(): Promise<Map<string, string[]>> {
    this.#tags ??= this.#list();
    return this.#tags;
  }

  async #list(): Promise<Map<string, string[]>> {
    const found = new Map<string, string[]>();
    let count = 0;
    try {
      for await (const tag of this.#repository.listTags()) {
        if (++count > TAGS_MAX) break;
        const [, key, exact] = TAG.exec(tag) ?? [];
        if (key === undefined) continue;
        const tags = found.get(`${key}-${exact}`) ?? [];
        found.set(`${key}-${exact}`, tags);
        tags.push(tag);
      }
    } catch (error) {
      // A repository is there with the first that is pushed to it.
      if (!isAbsent(error)) throw error;
    }
    return found;
  }

  async *#find(key: Digest, exact: Digest): AsyncGenerator<Buffer> {
    const tags = (await this.#listed()).get(group(key, exact)) ?? [];
    // Those of cache mounts begin with their time.
    for (const tag of tags.toSorted().reverse().slice(0, ENTRIES_MAX)) {
      const entry = await this.#fetch(tag);
      if (entry) yield entry.text;
    }
  }

  /** Undefined: it has gone since, or is none. */
  async #fetch(
    tag: string,
  ): Promise<{ text: Buffer; digest: Digest; created: number; blobs: readonly Descriptor[] } | undefined> {
    try {
      const { bytes, descriptor } = await this.#repository.fetchManifest(tag);
      const manifest = parseManifest(bytes, tag);
      if (manifest.kind !== 'manifest') return undefined;
      const { config, layers } = manifest;
      // Its form was checked, but for what is the tag's own.
      const raw = JSON.parse(bytes.toString()) as EntryManifest;
      for (const blob of [raw.config, ...raw.layers]) this.#keepInline(blob);
      const { annotations } = raw;
      const text = this.#inline.get(config.digest) ?? (await this.#repository.fetchBlob(config, MAX_MANIFEST_BYTES));
      const created = Date.parse(String(annotations?.['org.opencontainers.image.created'])) || 0;
      return { text, digest: descriptor.digest, created, blobs: [config, ...layers] };
    } catch (error) {
      if (isAbsent(error) || (error instanceof TbuildError && error.code.startsWith('image/'))) return undefined;
      throw error;
    }
  }

  #keepInline({ data, digest, size }: InlineDescriptor): void {
    if (typeof data !== 'string' || size > INLINE_MAX_BYTES) return;
    const bytes = Buffer.from(data, 'base64');
    if (sha256(bytes) === digest) this.#inline.set(digest, bytes);
  }

  async *#openBlob(blob: Descriptor): AsyncGenerator<Buffer> {
    const inline = this.#inline.get(blob.digest);
    if (inline) yield inline;
    else yield* this.#repository.openBlob(blob);
  }

  async #putBlob(blob: Descriptor, content: BlobContent): Promise<void> {
    if ('bytes' in content && blob.size <= INLINE_MAX_BYTES) this.#inline.set(blob.digest, content.bytes);
    const from = this.#mountsOf(blob.digest).find((path) => path !== this.#reference.path);
    const mount = from === undefined ? undefined : { digest: blob.digest, from };
    await uploadBlob(this.#repository, sourceOf(blob, content), { mount });
  }

  async #put(name: EntryName, entry: Buffer, blobs: readonly Descriptor[]): Promise<void> {
    const config = { mediaType: `${ENTRY_TYPE}+text`, digest: sha256(entry), size: entry.length };
    await this.#putBlob(config, { bytes: entry });
    let room = INLINE_TOTAL_BYTES;
    const withData = (blob: Descriptor): InlineDescriptor => {
      const bytes = this.#inline.get(blob.digest);
      room -= bytes?.length ?? 0;
      return bytes && room > 0 ? { ...blob, data: bytes.toString('base64') } : blob;
    };
    const manifest: EntryManifest = {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      artifactType: ENTRY_TYPE,
      config: withData(config),
      layers: blobs.map(withData),
      annotations: { 'org.opencontainers.image.created': new Date().toISOString() },
    };
    const bytes = Buffer.from(JSON.stringify(manifest));
    const descriptor = { mediaType: mediaTypes.manifest, digest: sha256(bytes), size: bytes.length };
    await this.#repository.putManifest(descriptor, bytes, tagOf(name));
  }

  async #all(): Promise<(KeptEntry & { readonly sizes: ReadonlyMap<string, number> })[]> {
    const all = [];
    for (const tag of [...(await this.#listed()).values()].flat()) {
      const entry = await this.#fetch(tag);
      if (!entry) continue;
      const sizes = new Map(entry.blobs.map(({ digest, size }) => [hexOf(digest), size]));
      all.push({ id: entry.digest, bytes: 0, used: entry.created, text: entry.text, sizes });
    }
    return all;
  }
}

type InlineDescriptor = Descriptor & { readonly data?: string };

interface EntryManifest {
  readonly schemaVersion: 2;
  readonly mediaType: string;
  readonly artifactType: string;
  readonly config: InlineDescriptor;
  readonly layers: readonly InlineDescriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}

function group(key: Digest, exact: Digest): string {
  return `${hexOf(key).slice(0, 40)}-${hexOf(exact).slice(0, 16)}`;
}

/** A tag has at most 128 characters. That another step or trace has this one costs a hit, no more: what is in an entry counts. */
function tagOf({ key, exact, trace }: EntryName): string {
  return `tbuild-${group(key, exact)}-${hexOf(trace).slice(0, 24)}`;
}

function sourceOf(blob: Descriptor, content: BlobContent): BlobSource {
  if ('bytes' in content) return bytesSource(blob, content.bytes);
  if ('file' in content) return fileSource(blob, content.file);
  return streamSource(blob, content.chunks);
}

function isAbsent(error: unknown): boolean {
  return error instanceof TbuildError && error.code === 'registry/not-found';
}

async function remove(repository: Repository, digest: string): Promise<void> {
  try {
    const response = await repository.send({
      method: 'DELETE',
      path: `/manifests/${digest}`,
      statuses: [202, 200, 404],
      subject: `${repository.name}@${digest}`,
    });
    response.body.destroy();
  } catch (cause) {
    const status = cause instanceof TbuildError ? cause.details?.status : undefined;
    if (status !== 405) throw cause;
    throw new TbuildError('unsupported/registry', `the registry of ${repository.name} lets nothing be removed`, {
      cause,
      hint: 'distribution allows it with storage.delete.enabled; others have rules of their own by which tags expire',
    });
  }
}
