// What every kind of step has in common: what it stands on, and how it says what it will do before it does it.

import type { Database } from '../base/database.ts';
import type { Digest } from '../base/digest.ts';
import type { StepRecord, Trace } from '../cache/traces.ts';
import type { Driver, LayerEntry, LayerSource, LayerSummary, Serve } from '../native/serve.ts';
import type { Ids } from '../snapshots/accounts.ts';
import type { LayerIndex } from '../snapshots/layer-index.ts';
import type { Layer, Layers, PresentLayer } from '../snapshots/layers.ts';
import type { View } from './answers.ts';

/** A layer, and whether those that stand on it are watched reading it: it was made of a context or a stage. Others take part as a whole. */
export type StateLayer = Layer & { readonly traced?: true };

/** Layers, bottom first: a file system state. */
export type State = readonly StateLayer[];

/** The same with its data here. */
export type PresentState = readonly (StateLayer & PresentLayer)[];

/** What a step can be asked for by those that stand on it. */
export type Result = { readonly kind: 'state'; readonly state: State } | ContextResult;

export interface ContextResult {
  readonly kind: 'context';
  readonly index: LayerIndex;
  /** Where its contents are. */
  readonly files: LayerSource;
  /** Modes that count in place of the files' own, by path. */
  readonly modes?: ReadonlyMap<string, number>;
  /** Of all its files; undefined: they have their own, as an archive gives them. */
  readonly owner: Ids | undefined;
  /** What it was made from, where that came from far away. */
  readonly material?: Material | undefined;
  /** When its source says that it was made, in seconds since the epoch: a commit, a download. */
  readonly modifiedAt?: number | undefined;
}

/** Something from far away as others can look it up: its URL, without what is nobody's business, and its digest. */
export interface Material {
  readonly uri: string;
  /** By algorithm: `sha1` of git, `sha256`. */
  readonly digest: Readonly<Record<string, string>>;
}

/** What ADD takes from far away. Its name is known without it, so that what was made of it before is found before anything is fetched. */
export interface RemoteResult {
  readonly kind: 'remote';
  readonly material: Material;
  readonly digest: Digest;
  /** What the digest is of. */
  readonly told: string;
  /** What its files' times are by, where that is part of the key; undefined: of when they were fetched. */
  readonly timesFrom: string | undefined;
  /** The one file that it is; undefined: all of a directory. */
  readonly file: string | undefined;
  /** Fetches what is missing. */
  readonly open: (report: Report) => Promise<ContextResult>;
}

/** What steps work with; one for a build. */
export interface Workshop {
  readonly db: Database;
  readonly serve: Serve;
  readonly layers: Layers;
  readonly driver: Driver;
  /** A directory of this process; `newPath` gives a fresh name in it. */
  readonly newPath: () => string;
  readonly storePath: (...parts: string[]) => string;
  readonly times: Times;
  /** A directory of this process with what another machine has kept of a cache mount, as `source`. Unset: nobody is asked. */
  readonly findMount?: ((name: string) => Promise<string | undefined>) | undefined;
}

/** Seconds since the epoch. Neither is part of any key: `solve` keeps results of builds with a fixed time apart. */
export interface Times {
  /** Of what a step makes out of nothing; undefined: of now. */
  readonly made: number | undefined;
  /** Of everything in the layers that are made; undefined: each file has its own. */
  readonly fixed: number | undefined;
}

/** Writes the layer that was decided on. */
export function writeLayer(
  { serve, newPath, times: { fixed } }: Workshop,
  driver: Driver,
  sources: readonly LayerSource[],
  entries: readonly LayerEntry[],
): Promise<LayerSummary> {
  const dated = fixed === undefined ? entries : entries.map((entry) => ({ ...entry, mtime: [fixed, 0] as const }));
  return serve.call('writeLayer', { driver, out: newPath(), sources, entries: dated });
}

/** A step that is ready to be looked up, and to run when no trace holds. */
export interface Prepared {
  readonly record: StepRecord;
  /** Inputs taken as a whole. */
  readonly exact: readonly Digest[];
  /** All inputs as a whole, where that is more: under them stands what was executed without being watched. */
  readonly whole?: () => readonly Digest[];
  /** Of everything that a watched RUN stands on, times aside: what was made of the very same is the result, whatever was seen of it. */
  readonly same?: Digest;
  /** Input layers, for the lock: two processes that would do the same work. */
  readonly inputs: readonly Digest[];
  /** Whether what a trace saw besides its exact inputs is so here too. */
  readonly matches: (trace: Trace) => boolean;
  /** What answers the questions of a trace's gaps, in their places; null: nothing is there that is watched. For whoever explains a miss. */
  readonly views: () => readonly (View | null)[];
  /** What the digests of `exact` are of, in their places; undefined: of a layer's tree. For whoever explains a miss. */
  readonly inputTexts?: () => readonly (string | undefined)[];
  readonly execute: (report: Report) => Promise<Executed>;
}

export interface Executed {
  readonly summary: LayerSummary;
  readonly gaps: Trace['gaps'];
  /** Unset: those it was looked up by. */
  readonly exact?: readonly Digest[];
  /** Of a RUN: what was there, for who wants to go there later. */
  readonly place?: string;
}

/** What a step says while it runs. */
export interface Report {
  readonly output: (stream: 'stdout' | 'stderr', text: string) => void;
  readonly status: (text: string) => void;
  readonly signal: AbortSignal;
}

/** Data that is elsewhere is fetched. */
export function presentState({ layers }: Workshop, state: State): Promise<PresentState> {
  return Promise.all(
    state.map(async (layer) => {
      const present = await layers.present(layer);
      return layer.traced ? { ...present, traced: true as const } : present;
    }),
  );
}

export function indexesOf(workshop: Workshop, state: State): LayerIndex[] {
  return state.map((layer) => workshop.layers.index(layer.id));
}
