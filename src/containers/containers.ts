// The containers of a store: rows of `containers`, and a directory each. A container is both: a row without its directory was removed by its monitor
// (--rm), a directory without a row is what a kill left of a creation or a removal; `sweep` clears both away. Starts and stops nothing.

import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import type { Digest } from '../base/digest.ts';
import { assert, TbuildError } from '../base/errors.ts';
import { recordEvent } from '../base/event-log.ts';
import type { Store } from '../base/store.ts';
import { cleanAfterMonitor, control } from '../native/monitor.ts';
import type { Serve } from '../native/serve.ts';
import type { Layers } from '../snapshots/layers.ts';
import { checkName, inventName } from './names.ts';
import type { ContainerSpec } from './spec.ts';
import { type ContainerState, type HeldLocks, lockOf, readState } from './state.ts';
import { Volumes } from './volumes/volumes.ts';

export interface Container {
  readonly id: string;
  readonly name: string;
  /** Milliseconds since the epoch. */
  readonly created: number;
  readonly spec: ContainerSpec;
  readonly directory: string;
  /** `locks`: for who asks of many. */
  state(locks?: HeldLocks): ContainerState;
}

interface Row {
  readonly id: string;
  readonly name: string;
  readonly created: number;
  readonly spec: string;
}

/** What this needs of a workplace: to look at containers the records will do. */
export interface ContainersPlace {
  readonly store: Store;
  readonly layers: Layers;
  /** Removes trees, of an account's further ids too. */
  readonly serve?: Serve;
}

export class Containers {
  readonly #store: Store;
  readonly #layers: Layers;
  readonly #serve: Serve | undefined;

  constructor({ store, layers, serve }: ContainersPlace) {
    this.#store = store;
    this.#layers = layers;
    this.#serve = serve;
  }

  /** Newest first. */
  list(): Container[] {
    const present = this.#names();
    return this.#store.db
      .all<Row>('SELECT id, name, created, spec FROM containers ORDER BY created DESC, rowid DESC')
      .filter(({ id }) => present.has(id))
      .map((row) => this.#fromRow(row));
  }

  /** Those that were made of an image, newest first. */
  usersOf(image: string): Container[] {
    return this.#store.db
      .all<Row>('SELECT id, name, created, spec FROM containers WHERE image = ? ORDER BY created DESC', image)
      .filter(({ id }) => existsSync(this.#directoryOf(id)))
      .map((row) => this.#fromRow(row));
  }

  /** Docker's order: a whole ID, a name, the unique beginning of an ID. Throws `container/unknown`, `container/ambiguous`. */
  find(nameOrId: string): Container {
    const row = this.#rowOf(nameOrId);
    if (row && existsSync(this.#directoryOf(row.id))) return this.#fromRow(row);
    throw new TbuildError('container/unknown', `No such container: ${nameOrId}`);
  }

  #rowOf(nameOrId: string): Row | undefined {
    const { db } = this.#store;
    const name = nameOrId.replace(/^\//, '');
    const named =
      db.get<Row>('SELECT id, name, created, spec FROM containers WHERE id = ?', nameOrId) ??
      db.get<Row>('SELECT id, name, created, spec FROM containers WHERE name = ?', name);
    if (named || !/^[0-9a-f]{1,63}$/.test(nameOrId)) return named;
    const started = db
      .all<Row>('SELECT id, name, created, spec FROM containers WHERE id GLOB ?', `${nameOrId}*`)
      .filter(({ id }) => existsSync(this.#directoryOf(id)));
    if (started.length > 1) {
      throw new TbuildError('container/ambiguous', `Multiple IDs found with provided prefix: ${nameOrId}`);
    }
    return started[0];
  }

  /** After a `sweep`. `name` undefined: one is made up. Its layers are in the store, and stay there as long as it does. Throws `container/name-taken`. */
  create(spec: ContainerSpec, name?: string, id: string = newId()): Container {
    const wanted = name === undefined ? undefined : checkName(name);
    const { db } = this.#store;
    const container = db.immediate(() => {
      const chosen = wanted ?? inventName((one) => this.#holderOf(one) !== undefined);
      this.#assertFree(chosen);
      const layers = layersOf(spec);
      for (const layer of layers) this.#assertPresent(layer);
      this.#layers.keep(layers);
      const created = Date.now();
      db.run(
        'INSERT INTO containers (id, name, image, layers, created, spec) VALUES (?, ?, ?, ?, ?, ?)',
        id,
        chosen,
        spec.image.id,
        JSON.stringify(layers),
        created,
        JSON.stringify(spec),
      );
      // A store of an earlier tbuild has no folder for them.
      mkdirSync(this.#directoryOf(id), { mode: 0o700, recursive: true });
      return this.#container(id, chosen, created, spec);
    });
    this.tell('create', container);
    return container;
  }

  /** For `tbuild events`: what is done to it. What happens to it its monitor tells. */
  tell(
    action: string,
    { id, name, spec }: Pick<Container, 'id' | 'name' | 'spec'>,
    more: Readonly<Record<string, string>> = {},
  ): void {
    recordEvent(this.#store, { type: 'container', action, id, attributes: { ...eventAttributes({ name, spec }), ...more } });
  }

  async rename({ id, name: before, spec }: Container, name: string): Promise<void> {
    const wanted = checkName(name);
    if (wanted === before) throw renameError('Renaming a container with the same name as its current name');
    await this.sweep();
    this.#store.db.immediate(() => {
      this.#assertFree(wanted, 'Error when allocating new name: ');
      this.#store.db.run('UPDATE containers SET name = ? WHERE id = ?', wanted, id);
    });
    this.tell('rename', { id, name: wanted, spec }, { oldName: `/${before}` });
  }

  /** What `update` and networks change. */
  update({ id }: Container, spec: ContainerSpec): void {
    this.#store.db.run('UPDATE containers SET spec = ? WHERE id = ?', JSON.stringify(spec), id);
  }

  /** What its monitor left that was killed goes. */
  async settle(container: Container): Promise<void> {
    if (container.state().isAbandoned) await cleanAfterMonitor(container.directory);
  }

  /**
   * One that does not run: record and directory go at once, the files by the helper. `force`: one that runs is killed first. `volumes`: those that
   * nobody named go with it, as they always do with --rm. Throws `container/running`, docker's words.
   */
  async remove(container: Container, { force, volumes }: { readonly force: boolean; readonly volumes?: boolean }): Promise<void> {
    const { status } = container.state();
    if (isAlive(status)) {
      if (!force) throw cannotRemove(container, status);
      await kill(container);
    }
    await this.settle(container);
    const lock = await this.#lock(container, force);
    if (lock === null) throw cannotRemove(container, 'running');
    try {
      await this.#removeDead([container.id], volumes ?? false);
    } finally {
      if (lock !== undefined) await this.#helper().call('unlock', { lock });
    }
  }

  /** So that a start that comes now finds it taken. Null: a monitor has it; undefined: its directory is gone, for a monitor removed it (--rm). */
  async #lock({ directory }: Container, wait: boolean): Promise<number | null | undefined> {
    try {
      return (await this.#helper().call('lock', { path: lockOf(directory), wait })).lock;
    } catch (error) {
      if (existsSync(directory)) throw error;
      return undefined;
    }
  }

  /** Clears away what is only half there: names and addresses are free again. */
  async sweep(): Promise<void> {
    const halves = this.#halves();
    if (halves.length > 0) await this.#removeDead(halves, false, () => this.#halves());
  }

  /** Record and directory, in one transaction; then the files, which others find too who open the store next, and the volumes. */
  async #removeDead(ids: readonly string[], volumes: boolean, recheck = () => ids): Promise<void> {
    const serve = this.#helper();
    const gone = this.#store.db.immediate(() => recheck().map((id) => ({ id, ...this.#forget(id), grave: this.#entomb(id) })));
    for (const { id, name, spec, grave } of gone) {
      if (grave !== undefined) await serve.call('remove', { path: grave });
      if (grave !== undefined && spec && name !== undefined) this.tell('destroy', { id, name, spec });
      if (spec && (volumes || spec.autoRemove)) await new Volumes({ store: this.#store, serve }).releaseOf(spec);
    }
  }

  #forget(id: string): { readonly name?: string; readonly spec?: ContainerSpec } {
    const sql = 'SELECT name, layers, spec FROM containers WHERE id = ?';
    const row = this.#store.db.get<{ name: string; layers: string; spec: string }>(sql, id);
    this.#store.db.run('DELETE FROM containers WHERE id = ?', id);
    if (!row) return {};
    this.#layers.condemn(JSON.parse(row.layers) as Digest[]);
    return { name: row.name, spec: JSON.parse(row.spec) as ContainerSpec };
  }

  /** Out of sight; undefined: nothing is there. */
  #entomb(id: string): string | undefined {
    const grave = this.#store.path('tmp', `.dead-${randomUUID()}`);
    try {
      renameSync(this.#directoryOf(id), grave);
      return grave;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Rows without a directory, directories without a row, and what a monitor was removing. */
  #halves(): string[] {
    const directories = this.#names();
    const rows = new Set(this.#store.db.all<{ id: string }>('SELECT id FROM containers').map(({ id }) => id));
    return [...[...rows].filter((id) => !directories.has(id)), ...[...directories].filter((id) => !rows.has(id))];
  }

  #names(): Set<string> {
    const folder = this.#store.path('containers');
    return new Set(existsSync(folder) ? readdirSync(folder) : []);
  }

  #helper(): Serve {
    assert(this.#serve, 'containers are made and removed by who has the helper');
    return this.#serve;
  }

  #holderOf(name: string): string | undefined {
    return this.#store.db.get<{ id: string }>('SELECT id FROM containers WHERE name = ?', name)?.id;
  }

  #assertFree(name: string, before = ''): void {
    const holder = this.#holderOf(name);
    if (holder === undefined) return;
    throw new TbuildError(
      'container/name-taken',
      `${before}Conflict. The container name "/${name}" is already in use by container "${holder}". You have to remove (or rename) that container to be able to reuse that name.`,
    );
  }

  #assertPresent(layer: Digest): void {
    if (this.#layers.get(layer)) return;
    throw new TbuildError('store/layer-gone', `the layer ${layer} was removed while the container was made`, {
      hint: 'run the same command again',
    });
  }

  #directoryOf(id: string): string {
    return this.#store.path('containers', id);
  }

  #fromRow({ id, name, created, spec }: Row): Container {
    return this.#container(id, name, created, JSON.parse(spec) as ContainerSpec);
  }

  #container(id: string, name: string, created: number, spec: ContainerSpec): Container {
    const directory = this.#directoryOf(id);
    return { id, name, created, spec, directory, state: (locks) => readState(directory, locks) };
  }
}

/** What events say of a container. */
export function eventAttributes({ name, spec }: Pick<Container, 'name' | 'spec'>): Record<string, string> {
  return { ...spec.labels, image: spec.image.name, name };
}

export const newId = (): string => randomBytes(32).toString('hex');

/** Every layer that a container stands on. */
function layersOf({ layers, mounts }: ContainerSpec): Digest[] {
  const mounted = mounts.flatMap((mount) => (mount.type === 'image' ? mount.layers : []));
  return [...new Set([...layers, ...mounted])] as Digest[];
}

/** Its processes are there. */
export function isAlive(status: ContainerState['status']): boolean {
  return status === 'running' || status === 'paused' || status === 'restarting';
}

const renameError = (message: string) => new TbuildError('container/bad-name', message);

function cannotRemove({ name }: Container, status: string): TbuildError {
  const why =
    status === 'paused'
      ? 'container is paused and must be unpaused first'
      : `container is ${status}: stop the container before removing or force remove`;
  return new TbuildError('container/running', `cannot remove container "/${name}": ${why}`);
}

async function kill({ directory, state }: Container): Promise<void> {
  try {
    await control(directory, { op: 'stop', signal: 'SIGKILL', timeoutMs: 0 });
  } catch (error) {
    // It may have ended by itself meanwhile.
    if (isAlive(state().status)) throw error;
  }
}
