// From a graph to its results: each step is looked up, and executed only when no trace of it holds. Independent steps run at the same time.
// A result is valid wherever its observations are answered in the same way; which base it was made on plays no part.

import pLimit from 'p-limit';
import { type Digest, hexOf, sha256 } from '../base/digest.ts';
import { assert, TbuildError } from '../base/errors.ts';
import { packInputs, storeInputs } from '../cache/inputs.ts';
import {
  findEqualResult,
  findSame,
  findTraces,
  type Recorded,
  rememberSame,
  type StepRecord,
  stepKey,
  storeTrace,
} from '../cache/traces.ts';
import { type ImageOperation, type Plan, type RunOperation, type Step, type StepId, stepsBelow } from '../plan/graph.ts';
import type { Layer } from '../snapshots/layers.ts';
import { prepareCopy } from '../steps/copy.ts';
import { prepareRun } from '../steps/run.ts';
import type { RunSettings } from '../steps/run-root.ts';
import type { ContextResult, Prepared, RemoteResult, Report, Result, State, Workshop } from '../steps/step.ts';
import { prepareWorkdir } from '../steps/workdir.ts';

/** What happens to steps, as it happens. */
export interface Listener {
  started(step: Step): void;
  output(step: Step, stream: 'stdout' | 'stderr', text: string): void;
  status(step: Step, text: string): void;
  /** Ready to be looked up, and perhaps not to be executed at all. */
  prepared(step: Step, prepared: Prepared): void;
  /** It is about to be executed, since no trace of it holds, or `flag` was given. */
  missed(step: Step, prepared: Prepared, flag: string | undefined): Promise<void>;
  /** Of a dry run: whether it would be executed depends on what these steps below it would make. */
  undecided?(step: Step, on: readonly Step[]): void;
  /** `trace`: its row; undefined: a source. */
  done(step: Step, cached: boolean, layer: Layer | undefined, trace: number | undefined): void;
  failed(step: Step, error: TbuildError): void;
  canceled(step: Step): void;
}

export interface SolveOptions {
  readonly graph: Pick<Plan, 'steps' | 'targets'>;
  readonly workshop: Workshop;
  readonly settings: Omit<RunSettings, 'layerOf'>;
  /** How many steps execute at the same time. */
  readonly slots: number;
  /** Execute everything; results are stored all the same. */
  readonly noCache: boolean;
  /** A RUN that is reused by what it saw (`watched`), or every RUN, is executed again, and must make the same. */
  readonly verify: 'none' | 'watched' | 'all';
  /** No command is executed and nothing is kept; what COPYs would make goes with this process. */
  readonly isDry?: boolean;
  readonly image: (operation: ImageOperation, report: Report) => Promise<State>;
  readonly context: (name: string) => Promise<ContextResult>;
  /** Unset: only what is here counts. */
  readonly remote?: RemoteCache;
  readonly listener: Listener;
  readonly signal: AbortSignal;
}

type Input = Result | RemoteResult;

/** A step's result, and the layer it added. */
export interface Solved {
  readonly result: Input;
  readonly layer: Layer | undefined;
  /** When the layer was made, in milliseconds since the epoch: a cached step keeps it. */
  readonly created: number | undefined;
  /** By what it is found again; unset: there is no layer. */
  readonly found?: Found;
  /** Of a dry run: it cannot be known. */
  readonly isUnknown?: true;
}

const UNKNOWN: Solved = { result: { kind: 'state', state: [] }, layer: undefined, created: undefined, isUnknown: true };

/** What a step was told, and what it saw and made. */
export interface Found {
  readonly record: StepRecord;
  readonly recorded: Recorded;
  /** All that it stood on, taken as a whole, where the trace is of what it saw. */
  readonly whole?: Prepared['whole'];
}

interface LayerResult extends Found {
  readonly layer: Layer;
  readonly cached: boolean;
}

/** Where results of other machines are looked for. */
export interface RemoteCache {
  /** Whether it had one, which the records of the store have now. `exact`: the lists of exact inputs that a trace may have. */
  find(record: StepRecord, exact: readonly (readonly Digest[])[], matches: Prepared['matches']): Promise<boolean>;
}

/** Results of every step, by id. Throws the first failure, when all that was under way has ended. */
export async function solve(options: SolveOptions): Promise<ReadonlyMap<StepId, Solved>> {
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const solver = new Solver(options, signal);
  const outcomes = options.graph.steps.map((step) =>
    solver.solved(step).catch((error: unknown) => {
      stop.abort(error);
      throw error;
    }),
  );
  const settled = await Promise.allSettled(outcomes);
  options.signal.throwIfAborted();
  // What came of the abort is not the failure: the abort's reason is.
  if (stop.signal.aborted) throw stop.signal.reason;
  return new Map(settled.map((outcome, id) => [id, (outcome as PromiseFulfilledResult<Solved>).value]));
}

class Solver {
  readonly #options: SolveOptions;
  readonly #signal: AbortSignal;
  readonly #limit;
  /** They take a connection each, and no CPU. */
  readonly #remoteLimit = pLimit(8);
  readonly #started = new Set<StepId>();
  readonly #pending = new Map<StepId, Promise<Solved>>();
  /** Steps in the target's own chain: their layers will be described, which goes on while the next step runs. */
  readonly #inTarget: ReadonlySet<StepId>;

  constructor(options: SolveOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    this.#limit = pLimit(options.slots);
    const { steps, targets } = options.graph;
    this.#inTarget = new Set(targets.flatMap((target) => stepsBelow(target, steps).map(({ id }) => id)));
  }

  solved(step: Step): Promise<Solved> {
    let pending = this.#pending.get(step.id);
    if (!pending) {
      pending = this.#solve(step);
      this.#pending.set(step.id, pending);
    }
    return pending;
  }

  async #solve(step: Step): Promise<Solved> {
    const { graph, listener } = this.#options;
    const needed = inputsOf(step).map((id) => graph.steps[id] as Step);
    const inputs = await Promise.all(needed.map((input) => this.solved(input)));
    if (inputs.some(({ isUnknown }) => isUnknown)) {
      const unknown = needed.filter((_, place) => inputs[place]?.isUnknown);
      listener.undecided?.(step, unknown);
      return UNKNOWN;
    }
    const below = step.parent === undefined ? [] : stateOf(inputs[0] as Solved);
    const others = (step.parent === undefined ? inputs : inputs.slice(1)).map(({ result }) => result);
    if (this.#signal.aborted) {
      listener.canceled(step);
      throw this.#signal.reason;
    }
    try {
      return await this.#work(step, below, others);
    } catch (error) {
      if (isLost(error)) {
        // No failure of the step: the build begins again without what was lost.
        listener.canceled(step);
        throw error;
      }
      if (this.#signal.aborted) listener.canceled(step);
      else throw this.#failure(step, error);
      throw this.#signal.reason;
    }
  }

  #failure(step: Step, error: unknown): TbuildError {
    const failure =
      error instanceof TbuildError
        ? error
        : new TbuildError('internal/step', error instanceof Error ? error.message : String(error), { cause: error });
    const located = failure.where || !step.where ? failure : failure.at(step.where);
    this.#start(step);
    this.#options.listener.failed(step, located);
    return located;
  }

  /** Said when a step has its slot, or needs none: one that waits has not started. */
  #start(step: Step): void {
    if (this.#started.has(step.id)) return;
    this.#started.add(step.id);
    this.#options.listener.started(step);
  }

  async #work(step: Step, below: State, others: readonly Input[]): Promise<Solved> {
    const { listener, workshop } = this.#options;
    if (isSource(step)) this.#start(step);
    const source = await this.#source(step);
    if (source) {
      listener.done(step, false, undefined, undefined);
      return { result: source, layer: undefined, created: undefined };
    }
    const prepared = await this.#prepare(step, below, others);
    listener.prepared(step, prepared);
    const made = await this.#layer(step, prepared);
    if (!made) return UNKNOWN;
    const { layer, cached, ...found } = made;
    const { id, created } = found.recorded;
    this.#start(step);
    if (this.#inTarget.has(step.id) && !this.#options.isDry) workshop.layers.describe(layer).catch(() => {}); // Asked for again when the image is assembled.
    listener.done(step, cached, layer, id);
    // What a command made is what it is, whatever it stood on.
    const placed = step.op.kind === 'run' ? layer : { ...layer, traced: true as const };
    return { result: { kind: 'state', state: [...below, placed] }, layer, created, found: { ...found, whole: prepared.whole } };
  }

  async #source(step: Step): Promise<Input | undefined> {
    const { op } = step;
    if (op.kind === 'image') return { kind: 'state', state: await this.#options.image(op, this.#reportOf(step)) };
    if (op.kind === 'context') return this.#options.context(op.name);
    if (op.kind !== 'http' && op.kind !== 'git') return undefined;
    const { workshop, settings, noCache } = this.#options;
    const { resolveRemote } = await import('../steps/remote.ts');
    return this.#remoteLimit(() => resolveRemote(workshop, { ...settings, fresh: noCache }, op, this.#reportOf(step)));
  }

  async #prepare(step: Step, below: State, others: readonly Input[]): Promise<Prepared> {
    return this.#keyed(await this.#preparedFor(step, below, others));
  }

  /**
   * With a fixed time, results of other builds do not count: their files' times are others, and so may be what commands made of them.
   * Among builds with it a tree has one layer, so that it does not matter which of equal results was first.
   */
  #keyed(prepared: Prepared): Prepared {
    const { fixed } = this.#options.workshop.times;
    return fixed === undefined ? prepared : { ...prepared, record: { ...prepared.record, times: fixed } };
  }

  async #preparedFor({ op }: Step, below: State, others: readonly Input[]): Promise<Prepared> {
    const { workshop, settings } = this.#options;
    if (op.kind === 'copy') {
      const remotes = others.filter((input) => input.kind === 'remote');
      return prepareCopy(workshop, op, below, others.filter(isLocal)[0], remotes);
    }
    if (op.kind === 'workdir') return prepareWorkdir(workshop, op, below);
    assert(op.kind === 'run', `no way to execute a step of the kind ${op.kind}`);
    const silent: Report = { output: () => {}, status: () => {}, signal: this.#signal };
    const layerOf = async (made: Prepared) => {
      const prepared = this.#keyed(made);
      const found = this.#find(prepared);
      if (found) return found.layer;
      return (await (this.#options.isDry ? this.#pretend(prepared, silent) : this.#execute(prepared, silent))).layer;
    };
    return prepareRun(workshop, { ...settings, layerOf }, op, below, bindInputs(op, others.filter(isLocal)));
  }

  #reportOf(step: Step): Report {
    const { listener } = this.#options;
    return {
      output: (stream, text) => listener.output(step, stream, text),
      status: (text) => listener.status(step, text),
      signal: this.#signal,
    };
  }

  /** Undefined: of a dry run, a command that would be executed. */
  async #layer(step: Step, prepared: Prepared): Promise<LayerResult | undefined> {
    const { listener } = this.#options;
    const flag = this.#options.noCache ? '--no-cache' : step.noCache ? '--no-cache-filter' : undefined;
    const report = this.#reportOf(step);
    const execute = async () => {
      await listener.missed(step, prepared, flag);
      return this.#execute(prepared, report);
    };
    const found = flag === undefined ? (this.#find(prepared) ?? (await this.#findRemote(prepared))) : undefined;
    if (found && !this.#isDoubted(step, found.recorded)) return found;
    if (this.#options.isDry) {
      await listener.missed(step, prepared, flag);
      return step.op.kind === 'run' ? undefined : this.#pretend(prepared, report);
    }
    return this.#limit(async () => {
      this.#signal.throwIfAborted();
      this.#start(step);
      if (found) return this.#verified(step, prepared, found, report);
      const made = flag === undefined ? await this.#alone(prepared, execute) : await execute();
      return this.#isDoubted(step) ? this.#verified(step, prepared, made, report) : made;
    });
  }

  async #findRemote(prepared: Prepared): Promise<LayerResult | undefined> {
    const { remote } = this.#options;
    if (!remote) return undefined;
    const { record, exact, whole, matches } = prepared;
    const isThere = await remote.find(record, whole ? [exact, whole()] : [exact], matches);
    return isThere ? this.#find(prepared) : undefined;
  }

  /** Another process may be doing this very step: then its result is ours. */
  async #alone(prepared: Prepared, execute: () => Promise<LayerResult>): Promise<LayerResult> {
    const { workshop } = this.#options;
    const path = workshop.storePath('locks', lockName(prepared));
    const { lock } = await workshop.serve.call('lock', { path, wait: true });
    try {
      return this.#find(prepared) ?? (await execute());
    } finally {
      await workshop.serve.call('unlock', { lock: lock as number });
    }
  }

  /** Whether it has to be shown that it makes the same again. `reused`: what says so. */
  #isDoubted(step: Step, reused?: Recorded): boolean {
    const { verify } = this.#options;
    if (step.op.kind !== 'run' || verify === 'none') return false;
    return verify === 'all' || reused?.trace.gaps.some((gap) => gap !== null) === true;
  }

  async #verified<T extends LayerResult>(step: Step, prepared: Prepared, result: T, report: Report): Promise<T> {
    const { checkEqual } = await import('./verify.ts');
    await checkEqual(this.#options.workshop, step, prepared, result.layer, report);
    return result;
  }

  #find(prepared: Prepared): LayerResult | undefined {
    const { db, layers } = this.#options.workshop;
    const { record, same } = prepared;
    const key = stepKey(record);
    const known = same && findSame(db, key, same);
    const layer = known && layers.get(known.layer);
    if (layer) return { layer, record, recorded: known, cached: true };
    for (const recorded of this.#traces(key, prepared)) {
      if (!prepared.matches(recorded.trace)) continue;
      const layer = layers.get(recorded.layer);
      if (!layer) continue;
      if (same && !this.#options.isDry) rememberSame(db, recorded.id, same);
      return { layer, record, recorded, cached: true };
    }
    return undefined;
  }

  *#traces(key: Digest, { exact, whole }: Prepared): Generator<Recorded> {
    const { db } = this.#options.workshop;
    yield* findTraces(db, key, exact);
    if (whole) yield* findTraces(db, key, whole());
  }

  async #execute(prepared: Prepared, report: Report): Promise<LayerResult> {
    this.#signal.throwIfAborted();
    const { workshop } = this.#options;
    const started = performance.now();
    const { summary, gaps, exact = prepared.exact, place } = await prepared.execute(report);
    const trace = { version: 2, exact, gaps } as const;
    const durationMs = performance.now() - started;
    const key = stepKey(prepared.record);
    const inputs = await packInputs(inputsToKeep(prepared));
    // Early cut-off: an equal tree keeps the layer that was first, and so the diff ID, and so the image's ID.
    const equal = this.#equalResult(prepared, `blake3:${summary.tree}`);
    if (equal) {
      workshop.layers.discard(summary);
      const made = { ...equal.recorded, trace, durationMs, place };
      const id = storeTrace(workshop.db, prepared.record, made, prepared.same);
      storeInputs(workshop.db, key, inputs);
      return { layer: equal.layer, record: prepared.record, recorded: { ...made, id }, cached: false };
    }
    const created = Date.now();
    let id = 0;
    const layer = workshop.layers.commit(summary, workshop.driver, undefined, (made) => {
      id = storeTrace(workshop.db, prepared.record, { trace, layer: made.id, created, durationMs, place }, prepared.same);
      storeInputs(workshop.db, key, inputs);
    });
    const { record } = prepared;
    return { layer, record, recorded: { id, trace, layer: layer.id, created, durationMs }, cached: false };
  }

  async #pretend(prepared: Prepared, report: Report): Promise<LayerResult> {
    const { layers, driver } = this.#options.workshop;
    const { summary, gaps, exact = prepared.exact } = await prepared.execute(report);
    const layer = this.#equalResult(prepared, `blake3:${summary.tree}`)?.layer ?? layers.pretend(summary, driver);
    const recorded = { id: 0, trace: { version: 2, exact, gaps } as const, layer: layer.id, created: Date.now(), durationMs: 0 };
    return { layer, record: prepared.record, recorded, cached: false };
  }

  #equalResult(prepared: Prepared, tree: Digest): { recorded: Recorded; layer: Layer } | undefined {
    const { db, layers } = this.#options.workshop;
    const recorded = findEqualResult(db, stepKey(prepared.record), tree);
    const layer = recorded && layers.get(recorded.layer);
    return recorded && layer ? { recorded, layer } : undefined;
  }
}

/** What its exact inputs are, where that is known better than by their digests. */
function inputsToKeep({ exact, inputTexts }: Prepared): { digest: Digest; text: string }[] {
  const texts = inputTexts?.() ?? [];
  return exact.flatMap((digest, place) => (texts[place] === undefined ? [] : [{ digest, text: texts[place] }]));
}

/** One of 4096 files: enough that steps seldom share one, few enough to keep. A step holds one lock and waits for no other step. */
function lockName(prepared: Prepared): string {
  return hexOf(sha256([stepKey(prepared.record), ...prepared.inputs].join('\n'))).slice(0, 3);
}

/** Whether it is about a layer that a remote cache has promised and does not have. */
export function isLost(error: unknown): error is TbuildError {
  return error instanceof TbuildError && error.code === 'store/layer-gone' && error.details?.lostBlob !== undefined;
}

function isSource({ op }: Step): boolean {
  return ['image', 'context', 'http', 'git'].includes(op.kind);
}

const isLocal = (input: Input): input is Result => input.kind !== 'remote';

/** The parent first, then what a COPY, an ADD or bind mounts come from. */
export function inputsOf(step: Step): StepId[] {
  const { op } = step;
  const others =
    op.kind === 'copy'
      ? [op.from, ...op.remotes.map(({ from }) => from)]
      : op.kind === 'run'
        ? bindMounts(op).map(({ from }) => from)
        : [];
  return [step.parent, ...others].filter((id): id is StepId => id !== undefined);
}

function bindMounts(op: RunOperation) {
  return op.mounts.filter((mount) => mount.type === 'bind' || mount.type === 'cache').filter(({ from }) => from !== undefined);
}

/** The inputs again, in the places of the mounts that they are for. */
function bindInputs(op: RunOperation, others: readonly Result[]): (Result | undefined)[] {
  const queue = [...others];
  return op.mounts.map((mount) =>
    (mount.type === 'bind' || mount.type === 'cache') && mount.from !== undefined ? queue.shift() : undefined,
  );
}

function stateOf({ result }: Solved): State {
  assert(result.kind === 'state', 'a step stands on a context');
  return result.state;
}
