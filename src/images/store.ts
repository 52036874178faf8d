// The images of a store: rows of `images` and `names`, and the layers and blobs they hold on to. Each change is one transaction.
// Images are never edited: a rebuilt name points to another image, and the old one stays without a name.

import { renameSync, writeFileSync } from 'node:fs';
import { type Digest, sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { Store } from '../base/store.ts';
import { Blobs } from '../oci/blobs.ts';
import { annotations, MAX_MANIFEST_BYTES, type Manifest, mediaTypes, parseManifest } from '../oci/descriptor.ts';
import { parseImageConfig } from '../oci/image-config.ts';
import { familiarName, normalizeName, parseReference } from '../oci/reference.ts';
import type { Layer, Layers } from '../snapshots/layers.ts';
import type { Image } from './image.ts';
import { nearestName } from './nearest-name.ts';

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

/** What `remove` did, in order: docker's `Untagged:` and `Deleted:` lines. */
export type Removal = { readonly untagged: string } | { readonly deleted: Digest };

export class Images {
  readonly #store: Store;
  readonly #layers: Layers;
  readonly blobs: Blobs;

  constructor(store: Store, layers: Layers) {
    this.#store = store;
    this.#layers = layers;
    this.blobs = new Blobs(store);
  }

  /** Every image, newest first. */
  list(): Image[] {
    return this.#store.db.all<Row>('SELECT * FROM images ORDER BY created DESC, id').map((row) => this.#fromRow(row));
  }

  get(id: Digest): Image | undefined {
    const row = this.#store.db.get<Row>('SELECT * FROM images WHERE id = ?', id);
    return row && this.#fromRow(row);
  }

  /** By name, by ID or a unique beginning of it, by `name@digest` or a digest alone. Throws `image/unknown`, `image/ambiguous`, `image/bad-reference`. */
  resolve(nameOrId: string): Image {
    return this.#find(nameOrId).image;
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
  #find(nameOrId: string): { readonly image: Image; readonly name: string | undefined } {
    const whole = /^(?:sha256:)?([0-9a-f]{64})$/.exec(nameOrId)?.[1];
    const byDigest = whole === undefined ? undefined : (this.get(`sha256:${whole}`) ?? this.#byManifest(`sha256:${whole}`));
    if (byDigest) return { image: byDigest, name: undefined };
    const prefix = /^(?:sha256:)?([0-9a-f]{1,63})$/.exec(nameOrId)?.[1];
    const isName = whole === undefined && !nameOrId.startsWith('sha256:');
    const named = isName ? this.#byName(nameOrId, prefix !== undefined) : undefined;
    if (named) return named;
    const started = prefix === undefined ? undefined : this.#byPrefix(nameOrId, prefix);
    if (started) return { image: started, name: undefined };
    throw this.#unknown(nameOrId);
  }

  #byName(text: string, mayBeId: boolean): { image: Image; name: string } | undefined {
    let name: string;
    try {
      name = normalizeName(text);
    } catch (error) {
      if (mayBeId) return undefined;
      throw error;
    }
    const row = this.#store.db.get<{ image: Digest }>('SELECT image FROM names WHERE name = ?', name);
    const image = row && this.get(row.image);
    if (image) return { image, name };
    const { domain, path, digest } = parseReference(name);
    const pinned = digest && this.#byManifest(digest);
    const isOfRepository = pinned?.names.some((other) => {
      const reference = parseReference(other);
      return reference.domain === domain && reference.path === path;
    });
    return pinned && isOfRepository ? { image: pinned, name } : undefined;
  }

  #byManifest(digest: Digest): Image | undefined {
    const row = this.#store.db.get<Row>('SELECT * FROM images WHERE manifest = ?', digest);
    return row && this.#fromRow(row);
  }

  #byPrefix(text: string, prefix: string): Image | undefined {
    const rows = this.#store.db.all<Row>('SELECT * FROM images WHERE id GLOB ? LIMIT 2', `sha256:${prefix}*`);
    if (rows.length > 1) {
      throw new TbuildError('image/ambiguous', `${text} is the beginning of more than one image ID`, {
        hint: 'write more of the ID',
      });
    }
    return rows[0] && this.#fromRow(rows[0]);
  }

  #unknown(nameOrId: string): TbuildError {
    const names = this.#store.db.all<{ name: string }>('SELECT name FROM names').map(({ name }) => familiarName(name));
    const near = nearestName(nameOrId, names);
    return new TbuildError('image/unknown', `no image named ${nameOrId} here`, {
      hint: near
        ? `did you mean ${near}?`
        : 'tbuild images lists what is here; others come in with tbuild load, since this version does not pull',
    });
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
      const known = this.get(id);
      const layers = known?.layers.every((layer) => this.#layers.get(layer))
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
      for (const name of names) this.#setName(name, id);
      if (isIndexTouched) this.#writeIndex();
      return this.get(id) as Image;
    });
  }

  #hasManifest(name: string): boolean {
    const sql = 'SELECT 1 FROM names JOIN images ON images.id = names.image WHERE names.name = ? AND images.manifest IS NOT NULL';
    return this.#store.db.get(sql, name) !== undefined;
  }

  #assertPresent(layer: Digest): void {
    if (this.#layers.get(layer)) return;
    throw new TbuildError('store/layer-gone', `the layer ${layer} was removed while the image was put together`, {
      hint: 'run the same command again',
    });
  }

  #setName(name: string, image: Digest): void {
    this.#store.db.run('INSERT OR REPLACE INTO names (name, image, updated) VALUES (?, ?, ?)', name, image, Date.now());
  }

  /** Another name for an image. */
  tag(source: string, name: string): Image {
    const reference = parseReference(name);
    if (reference.digest !== undefined)
      throw new TbuildError('image/bad-reference', `${JSON.stringify(name)} has a digest: a name given to an image cannot`);
    return this.#store.db.immediate(() => {
      const { id } = this.resolve(source);
      this.#setName(normalizeName(name), id);
      this.#writeIndex();
      return this.get(id) as Image;
    });
  }

  /**
   * docker's rules (daemon/images/image_delete.go): a name is taken away, and the image goes with its last one. By ID all names go, more than one
   * of them only with `force`. Layers and blobs that nothing else uses go with the image.
   */
  remove(nameOrId: string, options: { readonly force: boolean }): Removal[] {
    return this.#store.db.immediate(() => {
      const { image, name } = this.#find(nameOrId);
      const own = name !== undefined && image.names.includes(name) ? name : undefined;
      if (own === undefined && image.names.length > 1 && !options.force) {
        throw new TbuildError(
          'image/in-use',
          `the image ${nameOrId} has several names: ${image.names.map(familiarName).join(', ')}`,
          {
            hint: 'remove it by name, or all of them with --force',
          },
        );
      }
      const leaving = own === undefined ? image.names : [own];
      for (const each of leaving) this.#store.db.run('DELETE FROM names WHERE name = ?', each);
      const removals: Removal[] = leaving.map((each) => ({ untagged: each }));
      if (leaving.length === image.names.length) {
        this.#delete(image);
        removals.push({ deleted: image.id });
      }
      this.#writeIndex();
      return removals;
    });
  }

  #delete(image: Image): void {
    const documents = image.manifest ? [image.manifest, image.id] : [image.id];
    this.#store.db.run('DELETE FROM images WHERE id = ?', image.id);
    for (const digest of documents) this.blobs.remove(digest);
    this.#releaseLayers(image.layers);
  }

  /** Removes those of `ids` that no image and no trace uses, with their blobs. */
  releaseLayers(ids: readonly Digest[]): void {
    this.#store.db.immediate(() => this.#releaseLayers(ids));
  }

  #releaseLayers(ids: readonly Digest[]): void {
    for (const id of new Set(ids)) {
      const layer = this.#layers.get(id);
      if (!layer || this.#isLayerUsed(id)) continue;
      this.#layers.remove(layer);
      if (layer.blob && !this.#store.db.get('SELECT 1 FROM layers WHERE blob = ?', layer.blob)) this.blobs.remove(layer.blob);
    }
  }

  #isLayerUsed(id: Digest): boolean {
    const used = this.#store.db.get(
      'SELECT 1 WHERE EXISTS (SELECT 1 FROM traces WHERE layer = ?) OR EXISTS (SELECT 1 FROM images, json_each(images.layers) AS l WHERE l.value = ?)',
      id,
      id,
    );
    return used !== undefined;
  }

  /** The manifest an image came with, while it is here and whole: nothing needs it but its digest's survival. */
  originalManifest(image: Image): { readonly manifest: Manifest; readonly bytes: Buffer } | undefined {
    const bytes = image.manifest && this.blobs.readIfWhole(image.manifest, MAX_MANIFEST_BYTES);
    if (!bytes) return undefined;
    const manifest = parseManifest(bytes, `the manifest ${image.manifest}`);
    return manifest.kind === 'manifest' ? { manifest, bytes } : undefined;
  }

  /** The store's index.json: makes an OCI layout of the store, with the images all of whose blobs are here. */
  #writeIndex(): void {
    const manifests = this.#store.db
      .all<Row>('SELECT * FROM images WHERE manifest IS NOT NULL ORDER BY id')
      .map((row) => this.#fromRow(row))
      .flatMap((image) => {
        const original = this.originalManifest(image);
        if (
          !original ||
          ![original.manifest.config, ...original.manifest.layers].every(({ digest, size }) => this.blobs.has(digest, size))
        )
          return [];
        const descriptor = { mediaType: original.manifest.mediaType, digest: image.manifest, size: original.bytes.length };
        return image.names.length === 0
          ? [descriptor]
          : image.names.map((name) => ({ ...descriptor, annotations: nameAnnotations(name) }));
      });
    const path = this.#store.path('index.json');
    const temporary = this.#store.path('tmp', `index-${process.pid}.json`);
    writeFileSync(temporary, JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }));
    renameSync(temporary, path);
  }

  #fromRow(row: Row): Image {
    const sql = 'SELECT name, updated FROM names WHERE image = ? ORDER BY name';
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

function isUnchanged(known: Image, image: NewImage, names: readonly string[]): boolean {
  const hasLayers = known.layers.join() === image.layers.map(({ id }) => id).join();
  return hasLayers && names.every((name) => known.names.includes(name)) && (image.manifest ?? known.manifest) === known.manifest;
}

/** How layouts say an image's name: the whole in containerd's annotation, the tag in the OCI's, as BuildKit and docker save write them. */
export function nameAnnotations(name: string): Record<string, string> {
  const { tag } = parseReference(name);
  return { [annotations.imageName]: name, ...(tag === undefined ? {} : { [annotations.refName]: tag }) };
}
