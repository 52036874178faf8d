// The layers of a store: committed once, read-only for ever. One file each (or one folder, with the directory driver), an index beside it, a row in the records.
// The row is written in the transaction that renames the files, so a kill leaves either all of a layer or files without a row, which `sweep` removes.

import { randomUUID } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type Digest, hexOf } from '../base/digest.ts';
import { assert } from '../base/errors.ts';
import type { Store } from '../base/store.ts';
import type { Driver, LayerSource, LayerSummary, Serve, TarSummary } from '../native/serve.ts';
import type { LowerLayer } from '../native/with-root.ts';
import { type AbsentData, parseAbsent } from './absent-data.ts';
import { readContent } from './contents.ts';
import { LayerIndex } from './layer-index.ts';

export interface Layer {
  readonly id: Digest;
  readonly tree: Digest;
  readonly driver: Driver;
  /** Of file contents. */
  readonly bytes: number;
  readonly entries: number;
  /** The tar that this layer is to others; unknown until `describe` computed it. */
  readonly diffId: Digest | undefined;
  readonly tarSize: number | undefined;
  /** Others made it: its tar framing is kept. */
  readonly split: boolean;
  /** The blob it was unpacked from. */
  readonly blob: Digest | undefined;
  /** Milliseconds since the epoch. */
  readonly created: number;
  /** Its index is here, its data is not: where that can be had. */
  readonly absent: AbsentData | undefined;
}

/** One whose data is here. */
export type PresentLayer = Layer & { readonly absent: undefined };

/** What brings in what is elsewhere. */
export interface Fetcher {
  /** The data of a layer, into the store. What comes back has the same tree and the same tar, perhaps under another id. */
  fetch(layer: Layer): Promise<PresentLayer>;
  /** The blob of a layer as it is there. Nothing is checked. */
  open(layer: Layer, data: AbsentData): AsyncIterable<Buffer>;
}

/** What is known of a layer before its data is here. */
export interface AbsentLayer extends Pick<Layer, 'tree' | 'bytes' | 'entries'> {
  readonly diffId: Digest;
  readonly tarSize: number | undefined;
  readonly data: AbsentData;
}

interface Row {
  readonly id: Digest;
  readonly tree: Digest;
  readonly driver: Driver;
  readonly bytes: number;
  readonly entries: number;
  readonly diff_id: Digest | null;
  readonly tar_size: number | null;
  readonly split: number;
  readonly blob: Digest | null;
  readonly created: number;
  readonly condemned: number | null;
  readonly absent: string | null;
}

/** What is known of a layer's tar form before it is in the store. */
export interface Origin {
  readonly diffId: Digest;
  readonly tarSize: number;
  /** The last two of what others made: the blob, and the framing's file, which is not yet in the store. */
  readonly blob?: Digest;
  readonly splitFile?: string;
}

export class Layers {
  readonly #store: Store;
  readonly #serve: Serve;
  /** How lower layers are mounted here: the probe's answer. */
  readonly #loop: boolean;
  /** This process's folder in tmp/; undefined: it only reads records. */
  readonly #lease: string | undefined;
  readonly #indexes = new Map<Digest, LayerIndex>();
  readonly #pretended = new Map<Digest, LayerSummary>();
  readonly #describing = new Map<Digest, Promise<Layer>>();
  readonly #fetcher: () => Fetcher | undefined;
  readonly #fetching = new Map<Digest, Promise<PresentLayer>>();

  constructor(store: Store, serve: Serve, loop: boolean, lease?: string, fetcher: () => Fetcher | undefined = () => undefined) {
    this.#store = store;
    this.#serve = serve;
    this.#loop = loop;
    this.#lease = lease;
    this.#fetcher = fetcher;
  }

  /** The layer, if it is in the store with its files, or its index with word of where its data is. */
  get(id: Digest): Layer | undefined {
    const row = this.#store.db.get<Row>('SELECT * FROM layers WHERE id = ?', id);
    if (!row || !existsSync(this.indexPath(id))) return undefined;
    return row.absent !== null || existsSync(this.#dataPath(row.id, row.driver)) ? fromRow(row) : undefined;
  }

  /** The layer with its data, fetched once if it is not here. Throws `store/layer-gone` where it cannot be had any more. */
  present(layer: Layer): Promise<PresentLayer> {
    if (isPresent(layer)) return Promise.resolve(layer);
    let pending = this.#fetching.get(layer.id);
    if (!pending) {
      const fetcher = this.#fetcher();
      assert(fetcher, `the data of the layer ${layer.id} is not here, and who only reads records fetches none`);
      pending = fetcher.fetch(layer);
      this.#fetching.set(layer.id, pending);
      pending.catch(() => this.#fetching.delete(layer.id));
    }
    return pending;
  }

  /** The blob of a layer whose data is elsewhere. */
  openAbsent(layer: Layer): AsyncIterable<Buffer> {
    const fetcher = this.#fetcher();
    assert(fetcher && layer.absent, `the layer ${layer.id} is here`);
    return fetcher.open(layer, layer.absent);
  }

  presentAll(layers: readonly Layer[]): Promise<PresentLayer[]> {
    return Promise.all(layers.map((layer) => this.present(layer)));
  }

  /** The layers whose tar has this diff ID: several, when the directories that it only passes through had other attributes below. */
  withDiffId(diffId: Digest): Layer[] {
    const rows = this.#store.db.all<Row>('SELECT * FROM layers WHERE diff_id = ? AND condemned IS NULL ORDER BY created', diffId);
    return rows.flatMap((row) => this.get(row.id) ?? []);
  }

  /** Every layer in the records, oldest first. */
  all(): Layer[] {
    return this.#store.db.all<Row>('SELECT * FROM layers ORDER BY created').map(fromRow);
  }

  index(id: Digest): LayerIndex {
    let index = this.#indexes.get(id);
    if (!index) {
      index = LayerIndex.read(this.indexPath(id));
      this.#indexes.set(id, index);
    }
    return index;
  }

  /** A finished layer as one of this process alone: it is in no records, and its files stay where they are. */
  pretend(summary: LayerSummary, driver: Driver): Layer {
    const id: Digest = `blake3:${summary.id}`;
    this.#pretended.set(id, summary);
    const { bytes, entries } = summary;
    const unknown = { diffId: undefined, tarSize: undefined, blob: undefined, absent: undefined };
    return { id, tree: `blake3:${summary.tree}`, driver, bytes, entries, ...unknown, split: false, created: Date.now() };
  }

  indexPath(id: Digest): string {
    const pretended = this.#pretended.get(id);
    if (pretended) return pretended.index;
    return this.#store.path('layers', `${hexOf(id)}.index`);
  }

  dataPath(layer: PresentLayer): string {
    return this.#dataPath(layer.id, layer.driver);
  }

  #dataPath(id: Digest, driver: Driver): string {
    const pretended = this.#pretended.get(id);
    if (pretended) return pretended.data;
    const kept = this.#keptAt(id, driver);
    return driver === 'directory' ? join(kept, 'root') : kept;
  }

  /** The name in layers/ that goes with a layer: the image, or the folder that its tree is in. */
  #keptAt(id: Digest, driver: Driver): string {
    return this.#store.path('layers', driver === 'erofs' ? `${hexOf(id)}.erofs` : hexOf(id));
  }

  /** How with-root mounts it. */
  lower(layer: PresentLayer): LowerLayer {
    if (layer.driver === 'directory') return { directory: this.dataPath(layer) };
    return this.#loop ? { erofs: this.dataPath(layer), loop: true } : { erofs: this.dataPath(layer) };
  }

  /** Where a layer written from this one reads contents. */
  source(layer: PresentLayer): LayerSource {
    return layer.driver === 'directory' ? { root: this.dataPath(layer) } : { data: this.dataPath(layer) };
  }

  /** The content of a regular file of a layer. */
  readFile(layer: PresentLayer, path: string): Buffer {
    const entry = this.index(layer.id).find(path);
    assert(entry?.type === 'file', `${path} is not a regular file of ${layer.id}`);
    return readContent(entry, this.source(layer));
  }

  /** Brings a finished layer into the store; one that is there already is dropped and the old one returned. `alongside` runs in the same transaction. */
  commit(summary: LayerSummary, driver: Driver, origin?: Origin, alongside?: (layer: Layer) => void): PresentLayer {
    const id: Digest = `blake3:${summary.id}`;
    return this.#store.db.immediate(() => {
      const known = this.get(id);
      if (!known || known.absent) this.#install(summary, driver, origin);
      else this.discard(summary, origin);
      if (known) this.keep([id]);
      const layer = this.get(id);
      assert(layer && isPresent(layer), `the layer ${id} vanished while it was committed`);
      alongside?.(layer);
      return layer;
    });
  }

  #install(summary: LayerSummary, driver: Driver, origin: Origin | undefined): void {
    const id: Digest = `blake3:${summary.id}`;
    const kept = this.#keptAt(id, driver);
    // A folder cannot be renamed over one that waits for its end; a file can. Renamed, that one is a stray as before.
    if (driver === 'directory' && existsSync(kept)) renameSync(kept, `${kept}.${randomUUID()}`);
    renameSync(driver === 'directory' ? dirname(summary.data) : summary.data, kept);
    if (origin?.splitFile !== undefined) renameSync(origin.splitFile, this.splitPath(id));
    renameSync(summary.index, this.indexPath(id));
    this.#store.db.run(
      `INSERT INTO layers (id, tree, driver, bytes, entries, diff_id, tar_size, split, blob, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET absent = NULL, driver = excluded.driver, split = excluded.split,
         blob = COALESCE(excluded.blob, blob)`,
      id,
      `blake3:${summary.tree}`,
      driver,
      summary.bytes,
      summary.entries,
      origin?.diffId ?? null,
      origin?.tarSize ?? null,
      origin?.splitFile === undefined ? 0 : 1,
      origin?.blob ?? null,
      Date.now(),
    );
  }

  /**
   * Keeps the index of a layer whose data is elsewhere; a layer with that tree and that tar which is here already is as good. `index`: a finished
   * file that was checked, of this process. `alongside` runs in the same transaction.
   */
  adopt(id: Digest, index: string, about: AbsentLayer, driver: Driver, alongside?: (layer: Layer) => void): Layer {
    return this.#store.db.immediate(() => {
      const same = this.withDiffId(about.diffId).filter(({ tree }) => tree === about.tree);
      const known = same.find(isPresent) ?? this.get(id);
      if (!known) this.#installAbsent(id, index, about, driver);
      else this.#renew(known, about.data, index);
      const layer = known ?? this.get(id);
      assert(layer, `the layer ${id} vanished while it was adopted`);
      alongside?.(layer);
      return layer;
    });
  }

  /** What was heard of last comes first. */
  #renew({ id, absent }: Layer, data: AbsentData, index: string): void {
    rmSync(index, { force: true });
    this.keep([id]);
    if (!absent) return;
    const texts = [...data.places, ...(absent.blob.digest === data.blob.digest ? absent.places : [])].map((place) =>
      JSON.stringify(place),
    );
    const places = [...new Set(texts)].map((text) => JSON.parse(text));
    this.#store.db.run('UPDATE layers SET absent = ? WHERE id = ?', JSON.stringify({ ...data, places }), id);
  }

  #installAbsent(id: Digest, index: string, about: AbsentLayer, driver: Driver): void {
    renameSync(index, this.indexPath(id));
    this.#store.db.run(
      `INSERT OR REPLACE INTO layers (id, tree, driver, bytes, entries, diff_id, tar_size, split, blob, created, absent)
       VALUES (?, ?, ?, ?, ?, ?, ?, 0, NULL, ?, ?)`,
      id,
      about.tree,
      driver,
      about.bytes,
      about.entries,
      about.diffId,
      about.tarSize ?? null,
      Date.now(),
      JSON.stringify(about.data),
    );
  }

  /** `to` stands for `from` from now on, which had no data: it has the same tree and the same tar. */
  replace(from: Layer, to: PresentLayer): void {
    this.#store.db.immediate(() => {
      this.#store.db.run('UPDATE traces SET layer = ? WHERE layer = ?', to.id, from.id);
      const holders =
        'SELECT id, layers FROM images WHERE EXISTS (SELECT 1 FROM json_each(images.layers) AS l WHERE l.value = ?)';
      for (const { id, layers } of this.#store.db.all<{ id: string; layers: string }>(holders, from.id)) {
        const replaced = (JSON.parse(layers) as Digest[]).map((layer) => (layer === from.id ? to.id : layer));
        this.#store.db.run('UPDATE images SET layers = ? WHERE id = ?', JSON.stringify(replaced), id);
      }
      // Others may have found it before, and be about to ask its index.
      this.condemn([from.id]);
    });
  }

  /** Drops a finished layer that is not needed. */
  discard(summary: LayerSummary, origin?: Origin): void {
    this.#removeTree(summary.data);
    rmSync(summary.index, { force: true });
    if (origin?.splitFile !== undefined) rmSync(origin.splitFile, { force: true });
  }

  splitPath(id: Digest): string {
    return this.#store.path('layers', `${hexOf(id)}.split`);
  }

  /** The layer with its diff ID known: computed once, kept in the records. */
  describe(layer: Layer): Promise<Layer & { readonly diffId: Digest; readonly tarSize: number }> {
    if (layer.diffId !== undefined && layer.tarSize !== undefined)
      return Promise.resolve(layer as Layer & { diffId: Digest; tarSize: number });
    let pending = this.#describing.get(layer.id);
    if (!pending) {
      pending = this.#describe(layer);
      this.#describing.set(layer.id, pending);
    }
    return pending as Promise<Layer & { diffId: Digest; tarSize: number }>;
  }

  async #describe(layer: Layer): Promise<Layer> {
    const stored = this.#store.db.get<Row>('SELECT * FROM layers WHERE id = ?', layer.id);
    if (stored?.diff_id) return fromRow(stored);
    const summary = await this.writeTar(await this.present(layer), { compression: 'none' });
    const diffId: Digest = `sha256:${summary.diffId}`;
    this.#setTar(layer.id, diffId, summary.tarSize);
    return { ...layer, diffId, tarSize: summary.tarSize };
  }

  #setTar(id: Digest, diffId: Digest, tarSize: number): void {
    this.#store.db.run('UPDATE layers SET diff_id = ?, tar_size = ? WHERE id = ?', diffId, tarSize, id);
  }

  /** The layer as a tar at `out` (without `out`: only its digests). */
  writeTar(
    layer: PresentLayer,
    target: { out?: string; compression: 'none' | 'gzip' | 'zstd'; level?: number },
  ): Promise<TarSummary> {
    const framing = layer.split ? { split: this.splitPath(layer.id) } : {};
    return this.#serve.call('tar', { index: this.indexPath(layer.id), data: this.dataPath(layer), ...framing, ...target });
  }

  /**
   * Those of `ids` that nothing refers to any more: they go with `collect`, once every process has ended that may have found them before and be
   * about to mount them. Whoever refers to one meanwhile says so with `keep`, in the same transaction.
   */
  condemn(ids: readonly Digest[]): void {
    const sql = `UPDATE layers SET condemned = ? WHERE condemned IS NULL AND id IN (SELECT value FROM json_each(?))
      AND NOT EXISTS (SELECT 1 FROM traces WHERE layer = layers.id)
      AND id NOT IN (SELECT value FROM images, json_each(images.layers))
      AND id NOT IN (SELECT value FROM failures, json_each(failures.layers))
      AND id NOT IN (SELECT value FROM containers, json_each(containers.layers))`;
    this.#store.db.run(sql, Date.now(), JSON.stringify(ids));
  }

  keep(ids: readonly Digest[]): void {
    const sql = 'UPDATE layers SET condemned = NULL WHERE condemned IS NOT NULL AND id IN (SELECT value FROM json_each(?))';
    this.#store.db.run(sql, JSON.stringify(ids));
  }

  /** Removes what is condemned and nobody can be using; returns it. Call it in a transaction. Where an image is mounted all the same, it goes on working. */
  collect(): Layer[] {
    const waiting = this.#store.db.all<Row>('SELECT * FROM layers WHERE condemned IS NOT NULL');
    if (waiting.length === 0) return [];
    const since = this.oldestOther();
    const going = waiting.filter(({ condemned }) => (condemned as number) < since).map(fromRow);
    for (const layer of going) this.#remove(layer);
    return going;
  }

  #remove({ id, driver, absent }: Layer): void {
    this.#store.db.run('DELETE FROM layers WHERE id = ?', id);
    for (const path of [this.indexPath(id), this.splitPath(id)]) rmSync(path, { force: true });
    if (absent) return;
    const kept = this.#keptAt(id, driver);
    if (driver === 'erofs') rmSync(kept, { force: true });
    else if (existsSync(kept)) this.#bury(kept);
  }

  /** Out of sight at once, and removed while this process goes on, or by the next that opens the store: what has this name there goes. */
  #bury(path: string): void {
    const grave = this.#store.path('tmp', `.dead-${randomUUID()}`);
    renameSync(path, grave);
    this.#removeTree(grave);
  }

  /** By the helper, who may remove files of an account's further ids; it ends what it has begun before it closes. */
  #removeTree(path: string): void {
    this.#serve.call('remove', { path }).catch(() => {}); // What stays is found by the next that opens the store.
  }

  /** Since when the longest of the other processes has worked with the store, in ms since the epoch; Infinity: there is none. */
  oldestOther(): number {
    const tmp = this.#store.path('tmp');
    const others = readdirSync(tmp, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .filter(({ name }) => this.#lease === undefined || name !== basename(this.#lease));
    // One that is gone by now has ended; one without its lock is younger than this moment.
    const since = others.map(({ name }) => statSync(join(tmp, name, 'lock'), { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    return Math.min(Number.POSITIVE_INFINITY, ...since);
  }

  /** Names in layers/ that no row accounts for: what a kill between rename and commit leaves. */
  strays(): string[] {
    const known = new Set(
      this.all().flatMap((layer) => [
        ...(layer.absent ? [] : [this.#keptAt(layer.id, layer.driver)]),
        this.indexPath(layer.id),
        ...(layer.split ? [this.splitPath(layer.id)] : []),
      ]),
    );
    const folder = this.#store.path('layers');
    return readdirSync(folder)
      .map((name) => join(folder, name))
      .filter((path) => !known.has(path));
  }

  /** Removes strays. Under the write lock, so that no commit is between its rename and its row. */
  sweep(): void {
    this.#store.db.immediate(() => {
      for (const path of this.strays()) {
        if (lstatSync(path).isDirectory()) this.#bury(path);
        else rmSync(path, { force: true });
      }
    });
  }
}

function fromRow(row: Row): Layer {
  return {
    id: row.id,
    tree: row.tree,
    driver: row.driver,
    bytes: row.bytes,
    entries: row.entries,
    diffId: row.diff_id ?? undefined,
    tarSize: row.tar_size ?? undefined,
    split: row.split === 1,
    blob: row.blob ?? undefined,
    created: row.created,
    absent: row.absent === null ? undefined : parseAbsent(row.absent),
  };
}

export function isPresent(layer: Layer): layer is PresentLayer {
  return layer.absent === undefined;
}
