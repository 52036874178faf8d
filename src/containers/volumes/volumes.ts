// The volumes of a store: rows of `volumes`, and `volumes/<name>/_data`. In use is one that a container names in its specification, running or not.
// A directory without a row is a volume too, of a tbuild that kept no records of them; a row without a directory one whose making was cut short.

import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TbuildError } from '../../base/errors.ts';
import { recordEvent } from '../../base/event-log.ts';
import type { Store } from '../../base/store.ts';
import type { Serve } from '../../native/serve.ts';
import type { ContainerSpec } from '../spec.ts';
import { ANONYMOUS, checkVolumeName, checkVolumeOptions, isAnonymous, newVolumeName, type Volume } from './volume.ts';

interface Row {
  readonly name: string;
  readonly created: number;
  readonly labels: string;
  readonly options: string;
}

export interface NewVolume {
  /** Unset: one is made up, and the volume is anonymous. */
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly options?: Readonly<Record<string, string>>;
}

/** What this needs of a workplace. */
export interface VolumesPlace {
  readonly store: Store;
  readonly serve: Serve;
}

export interface PrunedVolumes {
  readonly names: readonly string[];
  readonly sizeBytes: number;
}

export class Volumes {
  readonly #store: Store;
  readonly #serve: Serve;

  constructor({ store, serve }: VolumesPlace) {
    this.#store = store;
    this.#serve = serve;
  }

  /** By name. */
  list(): Volume[] {
    this.#adopt();
    return this.#store.db
      .all<Row>('SELECT name, created, labels, options FROM volumes ORDER BY name')
      .map((row) => this.#fromRow(row));
  }

  /** Throws `volume/unknown`. */
  find(name: string): Volume {
    const found = this.#get(name);
    if (found) return found;
    throw new TbuildError('volume/unknown', `get ${name}: no such volume`);
  }

  /** One that is there already is as good, whatever was asked for, as docker has it. Throws `volume/bad-name`, `volume/bad-option`, `unsupported/volume`. */
  create({ name: given, labels = {}, options = {} }: NewVolume): Volume {
    const name = given ?? newVolumeName();
    checkVolumeName(name);
    checkVolumeOptions(name, options);
    const all = given === undefined ? { ...labels, [ANONYMOUS]: '' } : labels;
    return this.#store.db.immediate(() => {
      const known = this.#get(name);
      if (!known) {
        this.#store.db.run(
          'INSERT INTO volumes (name, created, labels, options) VALUES (?, ?, ?, ?)',
          name,
          Date.now(),
          JSON.stringify(all),
          JSON.stringify(options),
        );
        recordEvent(this.#store, { type: 'volume', action: 'create', id: name, attributes: { driver: 'local' } });
      }
      const volume = known ?? this.find(name);
      mkdirSync(volume.directory, { recursive: true, mode: 0o755 });
      return volume;
    });
  }

  /** IDs of the containers that have it, running or not. */
  usersOf(name: string): string[] {
    return this.#store.db
      .all<{ id: string }>(
        `SELECT DISTINCT c.id FROM containers AS c, json_each(c.spec, '$.mounts') AS m
         WHERE m.value ->> '$.type' = 'volume' AND m.value ->> '$.name' = ? ORDER BY c.created`,
        name,
      )
      .map(({ id }) => id)
      .filter((id) => existsSync(this.#store.path('containers', id)));
  }

  /** `force`: one that is not there is no error. Throws `volume/unknown`, `volume/in-use`. */
  async remove(name: string, { force = false }: { readonly force?: boolean } = {}): Promise<void> {
    const volume = this.#get(name);
    if (!volume && force) return;
    await this.#remove(volume ?? this.find(name));
  }

  /** Those that nobody has; `all`: not the anonymous ones alone. */
  async prune(isMeant: (volume: Volume) => boolean = () => true, { all = false } = {}): Promise<PrunedVolumes> {
    const names: string[] = [];
    let sizeBytes = 0;
    for (const volume of this.list()) {
      if (!(all || isAnonymous(volume)) || !isMeant(volume) || this.usersOf(volume.name).length > 0) continue;
      const bytes = await this.sizeOf(volume);
      try {
        await this.#remove(volume);
      } catch (error) {
        // Somebody took it, or removed it, in this moment.
        if (error instanceof TbuildError && error.code.startsWith('volume/')) continue;
        throw error;
      }
      names.push(volume.name);
      sizeBytes += bytes;
    }
    return { names, sizeBytes };
  }

  /** As the disk has it. */
  async sizeOf({ directory }: Volume): Promise<number> {
    return (await this.#serve.call('measure', { path: directory })).bytes;
  }

  /** The anonymous volumes of a container that is removed with `-v` or `--rm`, but for those that another one has (--volumes-from). */
  async releaseOf({ mounts }: Pick<ContainerSpec, 'mounts'>): Promise<void> {
    for (const mount of mounts) {
      if (mount.type !== 'volume' || !mount.isAnonymous || this.usersOf(mount.name).length > 0) continue;
      await this.remove(mount.name, { force: true });
    }
  }

  async #remove(volume: Volume): Promise<void> {
    const { lock } = await this.#serve.call('lock', { path: lockPath(this.#directoryOf(volume.name)), wait: false });
    if (lock === null) throw inUse(volume.name, this.usersOf(volume.name));
    try {
      const grave = this.#bury(volume);
      if (grave !== undefined) await this.#serve.call('remove', { path: grave });
    } finally {
      await this.#serve.call('unlock', { lock });
    }
  }

  /** Out of sight at once; what has such a name goes with whoever opens the store next. What a volume stands for elsewhere stays. */
  #bury({ name }: Volume): string | undefined {
    const grave = this.#store.path('tmp', `.dead-${randomUUID()}`);
    return this.#store.db.immediate(() => {
      const users = this.usersOf(name);
      if (users.length > 0) throw inUse(name, users);
      this.#store.db.run('DELETE FROM volumes WHERE name = ?', name);
      recordEvent(this.#store, { type: 'volume', action: 'destroy', id: name, attributes: { driver: 'local' } });
      try {
        renameSync(this.#directoryOf(name), grave);
        return grave;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
    });
  }

  #get(name: string): Volume | undefined {
    const sql = 'SELECT name, created, labels, options FROM volumes WHERE name = ?';
    const row = this.#store.db.get<Row>(sql, name);
    if (row) return this.#fromRow(row);
    if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name) || !existsSync(this.#directoryOf(name))) return undefined;
    this.#adopt();
    const adopted = this.#store.db.get<Row>(sql, name);
    return adopted && this.#fromRow(adopted);
  }

  /** Rows for directories that have none. */
  #adopt(): void {
    const folder = this.#store.path('volumes');
    const known = new Set(this.#store.db.all<{ name: string }>('SELECT name FROM volumes').map(({ name }) => name));
    for (const name of existsSync(folder) ? readdirSync(folder) : []) {
      const found = known.has(name) ? undefined : statSync(join(folder, name, '_data'), { throwIfNoEntry: false });
      if (!found) continue;
      const sql = "INSERT OR IGNORE INTO volumes (name, created, labels, options) VALUES (?, ?, '{}', '{}')";
      this.#store.db.run(sql, name, Math.floor(found.birthtimeMs || found.mtimeMs));
    }
  }

  #directoryOf(name: string): string {
    return this.#store.path('volumes', name);
  }

  #fromRow({ name, created, labels, options }: Row): Volume {
    const read = (text: string) => JSON.parse(text) as Record<string, string>;
    return { name, created, labels: read(labels), options: read(options), directory: join(this.#directoryOf(name), '_data') };
  }
}

/** Held by who fills it, and by who removes it. */
export const lockPath = (directory: string): string => join(directory, '.lock');

const inUse = (name: string, users: readonly string[]): TbuildError =>
  new TbuildError('volume/in-use', `remove ${name}: volume is in use - [${users.join(', ')}]`);
