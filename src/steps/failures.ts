// What a RUN that failed left: kept for who wants to look, never part of the cache. The latest few; older ones go, with their layers.

import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { LayerSummary } from '../native/serve.ts';
import type { RunOperation } from '../plan/graph.ts';
import type { Network } from '../sandbox/network.ts';
import type { MountSource } from './mounts.ts';
import type { State, Workshop } from './step.ts';

const KEEP = 10;

/** A RUN's place: what it was told, what it stood on. */
export interface FailedRun {
  readonly operation: RunOperation;
  readonly network: Network;
  /** With what it wrote on top. */
  readonly state: State;
  /** In the places of the operation's mounts. */
  readonly sources: readonly (MountSource | undefined)[];
}

/** As it is stored: layers by their ids. */
interface StoredRun {
  readonly operation: RunOperation;
  readonly network: Network;
  readonly state: readonly Digest[];
  readonly sources: readonly ((Omit<MountSource, 'layers' | 'exact'> & { readonly layers: readonly Digest[] }) | null)[];
}

export function keepFailure(
  workshop: Workshop,
  run: Omit<FailedRun, 'state'> & { readonly below: State },
  written: LayerSummary,
): void {
  const { db, layers, driver } = workshop;
  const { operation, network, below } = run;
  const sources = run.sources.map((source) => (source ? { ...source, layers: source.layers.map(({ id }) => id) } : null));
  layers.commit(written, driver, undefined, ({ id }) => {
    const stored: StoredRun = { operation, network, state: [...below.map((layer) => layer.id), id], sources };
    const used = [...stored.state, ...sources.flatMap((source) => source?.layers ?? [])];
    db.run('INSERT INTO failures (at, step, layers) VALUES (?, ?, ?)', Date.now(), JSON.stringify(stored), JSON.stringify(used));
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

/** The newest. Throws `run/no-failure`. */
export function latestFailure({ db, layers }: Pick<Workshop, 'db' | 'layers'>): FailedRun {
  const row = db.get<{ step: string }>('SELECT step FROM failures ORDER BY id DESC LIMIT 1');
  if (!row) {
    throw new TbuildError('run/no-failure', 'no RUN has failed in this store, or what it left is gone', {
      hint: 'run the build again: what a RUN leaves that fails is kept',
    });
  }
  const { operation, network, state, sources } = JSON.parse(row.step) as StoredRun;
  const open = (ids: readonly Digest[]): State =>
    ids.map((id) => {
      const layer = layers.get(id);
      if (layer) return layer;
      throw new TbuildError('store/layer-gone', `the layer ${id} of the RUN that failed is gone`, {
        hint: 'run the build again',
      });
    });
  return {
    operation,
    network,
    state: open(state),
    sources: sources.map((source) => (source ? { ...source, layers: open(source.layers), exact: () => [] } : undefined)),
  };
}
