// Where a RUN was: what it was told, what it stood on, what it left. Kept for who wants to go there: with each result, and of the latest few that
// failed, which are no part of the cache; older ones go, with their layers.

import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { LayerSummary } from '../native/serve.ts';
import type { RunOperation } from '../plan/graph.ts';
import type { Network } from '../sandbox/network.ts';
import type { Layers } from '../snapshots/layers.ts';
import type { MountSource } from './mounts.ts';
import type { State, Workshop } from './step.ts';

const KEEP = 10;

export interface RunPlace {
  readonly operation: RunOperation;
  readonly network: Network;
  /** With what it wrote on top. */
  readonly state: State;
  /** In the places of the operation's mounts. */
  readonly sources: readonly (MountSource | undefined)[];
}

/** As it is stored: layers by their ids. */
interface Stored {
  readonly operation: RunOperation;
  readonly network: Network;
  readonly sources: readonly ((Omit<MountSource, 'layers' | 'exact'> & { readonly layers: readonly Digest[] }) | null)[];
}

/** JSON. */
export function describePlace({ operation, network, sources }: Omit<RunPlace, 'state'>): string {
  const stored: Stored = {
    // Proxies' passwords are nobody's business.
    operation: { ...operation, proxyEnv: [] },
    network,
    sources: sources.map((source) => (source ? { ...source, layers: source.layers.map(({ id }) => id) } : null)),
  };
  return JSON.stringify(stored);
}

/** `layers`: of the state, bottom first. Throws `store/layer-gone`. */
export function openPlace(store: Layers, place: string, layers: readonly Digest[]): RunPlace {
  const { operation, network, sources } = JSON.parse(place) as Stored;
  return {
    operation,
    network,
    state: openState(store, layers),
    sources: sources.map((source) =>
      source ? { ...source, layers: openState(store, source.layers), exact: () => [] } : undefined,
    ),
  };
}

export function openState(layers: Layers, ids: readonly Digest[]): State {
  return ids.map((id) => {
    const layer = layers.get(id);
    if (layer) return layer;
    throw new TbuildError('store/layer-gone', `the layer ${id} of that step is not in the store any more`, {
      hint: 'build again',
    });
  });
}

export function keepFailure(
  workshop: Workshop,
  run: Omit<RunPlace, 'state'> & { readonly below: State },
  written: LayerSummary,
): void {
  const { db, layers, driver } = workshop;
  layers.commit(written, driver, undefined, ({ id }) => {
    const state = [...run.below.map((layer) => layer.id), id];
    const mounted = run.sources.flatMap((source) => source?.layers.map((layer) => layer.id) ?? []);
    const step = JSON.stringify({ place: describePlace(run), state });
    db.run('INSERT INTO failures (at, step, layers) VALUES (?, ?, ?)', Date.now(), step, JSON.stringify([...state, ...mounted]));
    dropOld(workshop);
  });
}

function dropOld({ db, layers }: Workshop): void {
  const old = db.all<{ id: number; layers: string }>('SELECT id, layers FROM failures ORDER BY id DESC LIMIT -1 OFFSET ?', KEEP);
  for (const { id, layers: used } of old) {
    db.run('DELETE FROM failures WHERE id = ?', id);
    layers.condemn(JSON.parse(used) as Digest[]);
  }
}

/** The newest. Throws `run/no-failure`, `store/layer-gone`. */
export function latestFailure({ db, layers }: Pick<Workshop, 'db' | 'layers'>): RunPlace {
  const row = db.get<{ step: string }>('SELECT step FROM failures ORDER BY id DESC LIMIT 1');
  if (!row) {
    throw new TbuildError('run/no-failure', 'no RUN has failed in this store, or what it left is gone', {
      hint: 'run the build again: what a RUN leaves that fails is kept',
    });
  }
  const { place, state } = JSON.parse(row.step) as { place: string; state: Digest[] };
  return openPlace(layers, place, state);
}
