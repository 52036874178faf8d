// The images of a store: rows of `images` and `names`, and the layers and blobs they hold on to. Each change is one transaction.
// Images are never edited: a rebuilt name points to another image, and the old one stays without a name.

import { type Digest, sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import { recordEvent, type StoreEvent } from '../base/event-log.ts';
import type { Store } from '../base/store.ts';
import { Blobs } from '../oci/blobs.ts';
import type { Platform } from '../oci/config.ts';
import { type Descriptor, MAX_MANIFEST_BYTES, type Manifest, mediaTypes, parseManifest } from '../oci/descriptor.ts';
import { parseImageConfig } from '../oci/image-config.ts';
import { formatPlatform, matchesPlatform } from '../oci/platform.ts';
import { familiarName, isPinned, normalizeName, parseReference } from '../oci/reference.ts';
import { isPresent, type Layer, type Layers } from '../snapshots/layers.ts';
import { type Attestation, attestationBlobs } from './attestations.ts';
import type { Image, ImageIndex } from './image.ts';
import { defaultImage, Indexes, imageFor } from './indexes.ts';
import { nearestName } from './nearest-name.ts';
import { writeLayoutIndex } from './store-layout.ts';

interface Row {
  readonly id: Digest;
  readonly config: string;
  readonly layers: string;
  readonly manifest: Digest | null;
  readonly size: number;
  readonly created: number;
}

export interface NewImage {
  /** The config's exact bytes. */
  readonly config: Uint8Array;
  /** Bottom first. */
  readonly layers: readonly Layer[];
  /** As users write them; they move here from whatever had them. */
  readonly names: readonly string[];
  /** Digest of the manifest it came with, whose blob is in the store. */
  readonly manifest?: Digest;
}

export interface NewIndex {
  /** The OCI index's exact bytes; each of its manifests is that of the image in the same place. */
  readonly document: Uint8Array;
  /** In the store already. */
  readonly images: readonly { readonly platform: Platform; readonly image: Digest }[];
  /** Those that the document names, if they are here: their blobs are kept beside it. */
  readonly attestations: readonly Attestation[];
  /** As users write them; they move here from whatever had them. */
  readonly names: readonly string[];
  /** It came from outside: its bytes are kept as a blob, beside its manifests. */
  readonly isOriginal: boolean;
}

/** What a name or an ID stands for. `image` of an index: the one meant where nobody says a platform. */
interface Found {
  readonly image: Image;
  readonly index: ImageIndex | undefined;
  /** The name it was found by, in full. */
  readonly name: string | undefined;
}

/** What `remove` did, in order: docker's `Untagged:` and `Deleted:` lines. */
export type Removal = { readonly untagged: string } | { readonly deleted: Digest };

/** A container that was made of an image. */
export interface ImageUser {
  readonly id: string;
  readonly isRunning: boolean;
}

export interface RemoveOptions {
  readonly force: boolean;
  /** Unset: nobody needs to be asked. */
  readonly usersOf?: (image: Digest) => readonly ImageUser[];
}

export class Images {
  readonly #store: Store;
  readonly #layers: Layers;
  readonly #indexes: Indexes;
  readonly blobs: Blobs;

  constructor(store: Store, layers: Layers) {
    this.#store = store;
    this.#layers = layers;
    this.#indexes = new Indexes(store.db, (id) => this.get(id));
    this.blobs = new Blobs(store);
  }

  /** Every image, those in indexes too; newest first. */
  list(): Image[] {
    return this.#store.db.all<Row>('SELECT * FROM images ORDER BY created DESC, id').map((row) => this.#fromRow(row));
  }

  /** What users see: indexes, and images but those that are only there as part of one. */
  listTops(): (Image | ImageIndex)[] {
    const indexes = this.#indexes.list();
    const inside = new Set(indexes.flatMap(({ images }) => images.map(({ image }) => image.id)));
    return [...indexes, ...this.list().filter(({ id, names }) => names.length > 0 || !inside.has(id))];
  }

  get(id: Digest): Image | undefined {
    const row = this.#store.db.get<Row>('SELECT * FROM images WHERE id = ?', id);
    return row && this.#fromRow(row);
  }

  /**
   * By name, by ID or a unique beginning of it, by `name@digest` or a digest alone. Of what is there for several platforms, the image for
   * `platform` (unset: for this machine, else the first). Throws `image/unknown`, `image/ambiguous`, `image/bad-reference`, `image/no-platform`.
   */
  resolve(nameOrId: string, platform?: Platform): Image {
    const { image, index } = this.#find(nameOrId);
    return index && platform ? imageFor(index, platform, nameOrId) : image;
  }

  /** As `resolve`, for who asks for a platform and wants no other. */
  resolveFor(nameOrId: string, platform: Platform | undefined): Image {
    const image = this.resolve(nameOrId, platform);
    if (!platform || matchesPlatform(platform, image.config)) return image;
    const is = formatPlatform(image.config);
    throw new TbuildError('image/no-platform', `${nameOrId} is for ${is}, not for ${formatPlatform(platform)}`);
  }

  /** As `resolve`, of what is there for several platforms; undefined: it is one image. */
  resolveIndex(nameOrId: string): ImageIndex | undefined {
    return this.#find(nameOrId).index;
  }

  /** As `resolve`; undefined where there is none. */
  find(nameOrId: string): Image | undefined {
    try {
      return this.resolve(nameOrId);
    } catch (error) {
      if (error instanceof TbuildError && error.code === 'image/unknown') return undefined;
      throw error;
    }
  }

  /** The order is docker's (daemon/images/image.go): a whole ID, then a name, then the beginning of an ID. */
  #find(nameOrId: string): Found {
    const whole = /^(?:sha256:)?([0-9a-f]{64})$/.exec(nameOrId)?.[1];
    const byDigest = whole === undefined ? undefined : this.#byDigest(`sha256:${whole}`);
    if (byDigest) return byDigest;
    const prefix = /^(?:sha256:)?([0-9a-f]{1,63})$/.exec(nameOrId)?.[1];
    const isName = whole === undefined && !nameOrId.startsWith('sha256:');
    const named = isName ? this.#byName(nameOrId, prefix !== undefined) : undefined;
    if (named) return named;
    const started = prefix === undefined ? undefined : this.#byPrefix(nameOrId, prefix);
    if (started) return started;
    throw this.#unknown(nameOrId);
  }

  /** Of an image, of the manifest it came with, of an index. */
  #byDigest(digest: Digest): Found | undefined {
    const image = this.get(digest) ?? this.#byManifest(digest);
    if (image) return { image, index: undefined, name: undefined };
    const index = this.#indexes.get(digest);
    return index && { image: defaultImage(index), index, name: undefined };
  }

  #byName(text: string, mayBeId: boolean): Found | undefined {
    let name: string;
    try {
      name = normalizeName(text);
    } catch (error) {
      if (mayBeId) return undefined;
      throw error;
    }
    const sql = 'SELECT image, index_id AS indexId FROM names WHERE name = ?';
    const row = this.#store.db.get<{ image: Digest; indexId: Digest | null }>(sql, name);
    const index = row?.indexId ? this.#indexes.get(row.indexId) : undefined;
    const image = index ? defaultImage(index) : row && this.get(row.image);
    if (image) return { image, index, name };
    const { domain, path, digest } = parseReference(name);
    const pinned = digest && this.#byDigest(digest);
    const isOfRepository = (pinned?.index ?? pinned?.image)?.names.some((other) => {
      const reference = parseReference(other);
      return reference.domain === domain && reference.path === path;
    });
    return pinned && isOfRepository ? { ...pinned, name } : undefined;
  }

  #byManifest(digest: Digest): Image | undefined {
    const row = this.#store.db.get<Row>('SELECT * FROM images WHERE manifest = ?', digest);
    return row && this.#fromRow(row);
  }

  #byPrefix(text: string, prefix: string): Found | undefined {
    const rows = this.#store.db.all<Row>('SELECT * FROM images WHERE id GLOB ? LIMIT 2', `sha256:${prefix}*`);
    const indexes = this.#indexes.startingWith(prefix);
    if (rows.length + indexes.length > 1) {
      throw new TbuildError('image/ambiguous', `${text} is the beginning of more than one image ID`, {
        hint: 'write more of the ID',
      });
    }
    const [index] = indexes;
    if (index) return { image: defaultImage(index), index, name: undefined };
    return rows[0] && { image: this.#fromRow(rows[0]), index: undefined, name: undefined };
  }

  #unknown(nameOrId: string): TbuildError {
    const near = this.nearest(nameOrId);
    return new TbuildError('image/unknown', `no image named ${nameOrId} here`, {
      hint: near ? `did you mean ${near}?` : 'tbuild images lists what is here; tbuild pull brings in others',
    });
  }

  /** What somebody may have meant who wrote the name of no image here. */
  nearest(name: string): string | undefined {
    const names = this.#store.db.all<{ name: string }>('SELECT name FROM names').map((row) => familiarName(row.name));
    return nearestName(name, names);
  }

  /** Keeps an image under its names. One with the same config that is here already is the same image. */
  put(image: NewImage): Image {
    const id = sha256(image.config);
    const configText = Buffer.from(image.config).toString();
    parseImageConfig(image.config, `the config ${id}`);
    const names = image.names.map(normalizeName);
    // A build whose steps were all cached mostly finds everything as it is, and writes nothing.
    const same = this.get(id);
    if (same && isUnchanged(same, image, names)) return same;
    return this.#store.db.immediate(() => {
      for (const layer of image.layers) this.#assertPresent(layer.id);
      this.#layers.keep(image.layers.map(({ id: layer }) => layer));
      const known = this.get(id);
      const layers = known?.layers.every((layer) => this.#isPresent(layer))
        ? known.layers
        : image.layers.map((layer) => layer.id);
      const sizeBytes = image.layers.reduce((sum, layer) => sum + layer.bytes, 0);
      this.#store.db.run(
        `INSERT INTO images (id, config, layers, manifest, size, created) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET layers = excluded.layers, manifest = COALESCE(excluded.manifest, manifest)`,
        id,
        configText,
        JSON.stringify(layers),
        image.manifest ?? null,
        sizeBytes,
        Date.now(),
      );
      // index.json is about images with manifests only: a build whose steps were all cached should not pay for it.
      const isIndexTouched = (image.manifest ?? known?.manifest) !== undefined || names.some((name) => this.#hasManifest(name));
      const before = this.#indexesNamed(names);
      for (const name of names) this.#setName(name, id);
      this.#dropReplaced(before, [id]);
      if (isIndexTouched) this.#writeIndex();
      return this.get(id) as Image;
    });
  }

  /** Keeps an index under its names; its images stay images of their own. */
  putIndex({ document, images, attestations, names, isOriginal }: NewIndex): ImageIndex {
    const id = sha256(document);
    const wanted = names.map(normalizeName);
    // What was lost of them comes back with the same index.
    for (const blob of attestations.flatMap(({ blobs }) => blobs)) this.blobs.write(blob);
    const same = this.#indexes.get(id);
    if (same && wanted.every((name) => same.names.includes(name))) return same;
    if (isOriginal) this.blobs.write(document);
    return this.#store.db.immediate(() => {
      this.#indexes.add(id, Buffer.from(document).toString(), images);
      const index = this.#indexes.get(id) as ImageIndex;
      const before = this.#indexesNamed(wanted);
      for (const name of wanted) this.#setName(name, defaultImage(index).id, id);
      this.#dropReplaced(
        before,
        index.images.map(({ image }) => image.id),
      );
      this.#writeIndex();
      return this.#indexes.get(id) as ImageIndex;
    });
  }

  #indexesNamed(names: readonly string[]): Digest[] {
    const sql = 'SELECT index_id AS id FROM names WHERE name = ? AND index_id IS NOT NULL';
    return [...new Set(names.flatMap((name) => this.#store.db.get<{ id: Digest }>(sql, name)?.id ?? []))];
  }

  /** Each build says anew when it was: an index of ours that has lost its last name to one of the same images is nothing that anybody misses. */
  #dropReplaced(before: readonly Digest[], images: readonly Digest[]): void {
    for (const id of before) {
      const old = this.#indexes.get(id);
      const isSame = old?.names.length === 0 && old.images.map(({ image }) => image.id).join() === images.join();
      if (isSame && !this.blobs.has(id)) this.#removeIndex(old);
    }
  }

  #hasManifest(name: string): boolean {
    const sql = 'SELECT 1 FROM names JOIN images ON images.id = names.image WHERE names.name = ? AND images.manifest IS NOT NULL';
    return this.#store.db.get(sql, name) !== undefined;
  }

  #isPresent(id: Digest): boolean {
    const layer = this.#layers.get(id);
    return layer !== undefined && isPresent(layer);
  }

  #assertPresent(layer: Digest): void {
    if (this.#layers.get(layer)) return;
    throw new TbuildError('store/layer-gone', `the layer ${layer} was removed while the image was put together`, {
      hint: 'run the same command again',
    });
  }

  #setName(name: string, image: Digest, index?: Digest): void {
    const sql = 'INSERT OR REPLACE INTO names (name, image, index_id, updated) VALUES (?, ?, ?, ?)';
    this.#store.db.run(sql, name, image, index ?? null, Date.now());
  }

  /** Another name for an image, or for an index. */
  tag(source: string, name: string): Image {
    const reference = parseReference(name);
    if (reference.digest !== undefined)
      throw new TbuildError('image/bad-reference', `${JSON.stringify(name)} has a digest: a name given to an image cannot`);
    const tagged = this.#store.db.immediate(() => {
      const { image, index } = this.#find(source);
      this.#setName(normalizeName(name), image.id, index?.id);
      this.#writeIndex();
      return this.get(image.id) as Image;
    });
    recordEvent(this.#store, {
      type: 'image',
      action: 'tag',
      id: tagged.id,
      attributes: { name: familiarName(normalizeName(name)) },
    });
    return tagged;
  }

  /** The name with a digest that a registry knows an image or an index by, once it has it. */
  pin(subject: Image | ImageIndex, pinned: string): void {
    this.#store.db.immediate(() => {
      const image = 'document' in subject ? defaultImage(subject).id : subject.id;
      // Somebody may have removed it meanwhile.
      if (this.get(image)) this.#setName(pinned, image, 'document' in subject ? subject.id : undefined);
    });
  }

  /**
   * docker's rules (daemon/images/image_delete.go): a name is taken away, and the image goes with its last one. By ID all names go, more than one
   * of them only with `force`. Layers and blobs that nothing else uses go with the image. An index goes as an image does, with those of its
   * images that have no name of their own; they do not go before it.
   */
  remove(nameOrId: string, options: RemoveOptions): Removal[] {
    const { id, removals } = this.#store.db.immediate(() => {
      const { image, index, name } = this.#find(nameOrId);
      const { names } = index ?? image;
      const own = name !== undefined && names.includes(name) ? name : undefined;
      if (own === undefined && names.filter((each) => !isPinned(each)).length > 1 && !options.force) {
        throw new TbuildError('image/in-use', `the image ${nameOrId} has several names: ${names.map(familiarName).join(', ')}`, {
          hint: 'remove it by name, or all of them with --force',
        });
      }
      const holder = index ? undefined : this.#indexes.holding(image.id);
      if (own === undefined && holder) throw partOf(nameOrId, holder);
      const leaving = own === undefined ? names : [own, ...pinsWithout(own, names)];
      const members = index ? [...new Set(index.images.map((each) => each.image.id))] : [image.id];
      const goes = leaving.length === names.length && !holder && !staysForContainers(nameOrId, own, members, options);
      for (const each of leaving) this.#store.db.run('DELETE FROM names WHERE name = ?', each);
      const removals: Removal[] = leaving.map((each) => ({ untagged: each }));
      if (goes) {
        if (index) this.#removeIndex(index);
        const going = index ? members.flatMap((id) => this.#unheld(id)) : [image];
        for (const each of going) this.#delete(each);
        removals.push(...[...(index ? [index] : []), ...going].map(({ id }) => ({ deleted: id })));
      }
      this.#writeIndex();
      return { id: (index ?? image).id, removals };
    });
    this.collect();
    for (const removal of removals) recordEvent(this.#store, removalEvent(id, removal));
    return removals;
  }

  /** Statements that another index has too stay; and what is no statement but part of an image, whatever an index from outside said. */
  #removeIndex({ id, document }: ImageIndex): void {
    this.#indexes.remove(id);
    this.blobs.remove(id);
    const own = attestationBlobs(this.blobs, document);
    if (own.length === 0) return;
    const others = this.#indexes.list().flatMap((other) => attestationBlobs(this.blobs, other.document));
    const used = new Set(others.map(({ digest }) => digest));
    for (const { digest } of own) if (!used.has(digest) && !this.#isBlobOfImage(digest)) this.blobs.remove(digest);
  }

  #isBlobOfImage(digest: Digest): boolean {
    const sql =
      'SELECT 1 WHERE EXISTS (SELECT 1 FROM images WHERE id = ?1 OR manifest = ?1) OR EXISTS (SELECT 1 FROM layers WHERE blob = ?1) OR EXISTS (SELECT 1 FROM indexes WHERE id = ?1)';
    return this.#store.db.get(sql, digest) !== undefined;
  }

  /** The image, when nothing holds on to it. */
  #unheld(id: Digest): Image[] {
    const image = this.get(id);
    return image && image.names.length === 0 && !this.#indexes.holding(id) ? [image] : [];
  }

  #delete(image: Image): void {
    const documents = image.manifest ? [image.manifest, image.id] : [image.id];
    this.#store.db.run('DELETE FROM images WHERE id = ?', image.id);
    for (const digest of documents) this.blobs.remove(digest);
    this.#layers.condemn(image.layers);
  }

  /** Removes those of `ids` that nothing uses, with their blobs, as soon as no other process can be using them. */
  releaseLayers(ids: readonly Digest[]): void {
    this.#store.db.immediate(() => this.#layers.condemn(ids));
    this.collect();
  }

  /** Lets a layer's compressed form go: it comes back from its registry, or is made again. */
  dropLayerBlob(digest: Digest): void {
    this.#store.db.immediate(() => {
      this.blobs.remove(digest);
      this.#writeIndex();
    });
  }

  /** Removes the layers that wait for it, and the blobs they came from. */
  collect(): void {
    this.#store.db.immediate(() => {
      for (const { blob } of this.#layers.collect()) {
        if (blob && !this.#store.db.get('SELECT 1 FROM layers WHERE blob = ?', blob)) this.blobs.remove(blob);
      }
    });
  }

  /** The manifest an image came with, while it is here and whole: nothing needs it but its digest's survival. */
  originalManifest(image: Image): { readonly manifest: Manifest; readonly bytes: Buffer } | undefined {
    const bytes = image.manifest && this.blobs.readIfWhole(image.manifest, MAX_MANIFEST_BYTES);
    if (!bytes) return undefined;
    const manifest = parseManifest(bytes, `the manifest ${image.manifest}`);
    return manifest.kind === 'manifest' ? { manifest, bytes } : undefined;
  }

  #writeIndex(): void {
    const images = this.#store.db
      .all<Row>('SELECT * FROM images WHERE manifest IS NOT NULL ORDER BY id')
      .map((row) => this.#fromRow(row))
      .flatMap((subject) => {
        const descriptor = this.#wholeDescriptor(subject);
        return descriptor ? [{ subject, descriptor }] : [];
      });
    const whole = new Set(images.map(({ subject }) => subject.id));
    const indexes = this.#indexes.list().flatMap((subject) => {
      const { id: digest, document } = subject;
      const size = Buffer.byteLength(document);
      const isWhole =
        this.blobs.has(digest, size) &&
        subject.images.every(({ image }) => whole.has(image.id)) &&
        attestationBlobs(this.blobs, document).every((blob) => this.blobs.has(blob.digest, blob.size));
      return isWhole ? [{ subject, descriptor: { mediaType: mediaTypeOf(document), digest, size } }] : [];
    });
    writeLayoutIndex(this.#store, images, indexes);
  }

  #wholeDescriptor(image: Image): Descriptor | undefined {
    const original = this.originalManifest(image);
    if (!original || !image.manifest) return undefined;
    const { config, layers, mediaType } = original.manifest;
    if (![config, ...layers].every(({ digest, size }) => this.blobs.has(digest, size))) return undefined;
    return { mediaType, digest: image.manifest, size: original.bytes.length };
  }

  #fromRow(row: Row): Image {
    const sql = 'SELECT name, updated FROM names WHERE image = ? AND index_id IS NULL ORDER BY name';
    const names = this.#store.db.all<{ name: string; updated: number }>(sql, row.id);
    return {
      id: row.id,
      config: parseImageConfig(Buffer.from(row.config), `the config ${row.id}`),
      configText: row.config,
      names: names.map(({ name }) => name),
      layers: JSON.parse(row.layers) as Digest[],
      manifest: row.manifest ?? undefined,
      sizeBytes: row.size,
      added: row.created,
      tagged: names.length === 0 ? undefined : Math.max(...names.map(({ updated }) => updated)),
    };
  }
}

function removalEvent(id: Digest, removal: Removal): StoreEvent {
  const what =
    'untagged' in removal ? { id, name: familiarName(removal.untagged) } : { id: removal.deleted, name: removal.deleted };
  return { type: 'image', action: 'untagged' in removal ? 'untag' : 'delete', id: what.id, attributes: { name: what.name } };
}

/**
 * Docker's rules for an image that containers were made of (daemon/images/image_delete.go). By ID it goes when none runs, and with `force` where some
 * are stopped; by name only with `force`, and then it stays without a name where one runs. Throws its words; true: the image stays.
 */
function staysForContainers(
  asked: string,
  name: string | undefined,
  images: readonly Digest[],
  { force, usersOf = () => [] }: RemoveOptions,
): boolean {
  const users = images.flatMap((image) => usersOf(image).map((user) => ({ ...user, image: short(image) })));
  const user = users.find(({ isRunning }) => isRunning) ?? users[0];
  if (!user) return false;
  const inUse = (why: string) => new TbuildError('image/in-use', `conflict: unable to ${why}`);
  if (name !== undefined) {
    const how = `container ${short(user.id)} is using its referenced image ${user.image}`;
    if (!force) throw inUse(`remove repository reference "${asked}" (must force) - ${how}`);
    return user.isRunning;
  }
  const kind = user.isRunning ? 'running' : 'stopped';
  const how = `${user.isRunning ? 'cannot' : 'must'} be forced) - image is being used by ${kind} container ${short(user.id)}`;
  if (user.isRunning || !force) throw inUse(`delete ${user.image} (${how}`);
  return false;
}

const short = (id: string) => id.replace('sha256:', '').slice(0, 12);

/** The names with digests in a repository, once its last tag goes: docker lets them go with it. */
function pinsWithout(tagged: string, names: readonly string[]): string[] {
  const repository = repositoryOf(tagged);
  const others = names.filter((name) => name !== tagged && repositoryOf(name) === repository);
  return isPinned(tagged) || !others.every(isPinned) ? [] : others;
}

function repositoryOf(name: string): string {
  const { domain, path } = parseReference(name);
  return `${domain}/${path}`;
}

/** A document may leave its media type out. */
function mediaTypeOf(document: string): string {
  return (JSON.parse(document) as { mediaType?: string }).mediaType ?? mediaTypes.index;
}

function partOf(nameOrId: string, { id, names, images }: ImageIndex): TbuildError {
  const holder = names.length === 0 ? id : names.map(familiarName).join(', ');
  const what = images.length > 1 ? `is one of those that ${holder} has for several platforms` : `is that of ${holder}`;
  return new TbuildError('image/in-use', `the image ${nameOrId} ${what}`, { hint: 'remove that' });
}

function isUnchanged(known: Image, image: NewImage, names: readonly string[]): boolean {
  const hasLayers = known.layers.join() === image.layers.map(({ id }) => id).join();
  return hasLayers && names.every((name) => known.names.includes(name)) && (image.manifest ?? known.manifest) === known.manifest;
}
