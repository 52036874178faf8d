// Keeps the record of a build while it goes on: of each step its key, its trace, how long it took, why it was executed. In memory until a step
// is executed, then written each time one ends. A record that cannot be written is no reason to fail.

import { basename, dirname } from 'node:path';
import { debug } from '../base/debug.ts';
import { type Digest, hexOf, sha256 } from '../base/digest.ts';
import { toErrorObject } from '../base/error-object.ts';
import {
  type BuildRecord,
  type BuildStatus,
  dropOldBuilds,
  type How,
  type Reason,
  type StepOutcome,
  storeBuild,
} from '../cache/builds.ts';
import { addPending, bringIn, PENDING_BUILDS } from '../cache/pending-builds.ts';
import { exactDigest, stepKey } from '../cache/traces.ts';
import { familiarName } from '../oci/reference.ts';
import type { ImageOperation, Operation, Step } from '../plan/graph.ts';
import type { Layer } from '../snapshots/layers.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { inputsOf } from '../solve/solver.ts';
import type { Explainer } from '../solve/why/why.ts';
import type { Prepared, Workshop } from '../steps/step.ts';
import { type BuildRequest, flagsOf, placesOf } from './build-request.ts';
import { shownReference } from './contexts/layout-images.ts';

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

const FEW_STEPS = 200;
const STORE_EVERY_MS = 1000;
/** Of more nothing is kept. */
const MAX_STEPS = 10_000;

export class BuildRecorder {
  readonly #workplace: Workplace;
  readonly #build: Mutable<BuildRecord>;
  readonly #steps: Mutable<StepOutcome>[] = [];
  readonly #places = new Map<Operation, number>();
  readonly #startedMs: number[] = [];
  #workshop: Workshop | undefined;
  #explainer: Promise<Explainer> | undefined;
  #isStored = false;
  #storedAt = 0;
  readonly #isDry: boolean;

  /** `names` in full; `log`: name of the file; undefined: of a dry run, of which no record is kept. */
  constructor(workplace: Workplace, request: BuildRequest, names: readonly string[], log: string | undefined) {
    this.#workplace = workplace;
    this.#isDry = log === undefined;
    this.#build = {
      id: hexOf(sha256(`${workplace.store.root} ${log}`)).slice(0, 12),
      started: Date.now(),
      ended: undefined,
      status: 'running',
      lease: basename(dirname(workplace.newPath())),
      ...placesOf(request),
      names: names.map(familiarName),
      flags: flagsOf(request),
      log: log ?? '',
      image: undefined,
      error: undefined,
      steps: this.#steps,
    };
  }

  /** What came of the steps so far. */
  get steps(): readonly StepOutcome[] {
    return this.#steps;
  }

  plan(steps: readonly Step[], workshop: Workshop): void {
    this.#workshop = workshop;
    // A build may begin again.
    this.#steps.length = 0;
    this.#startedMs.length = 0;
    this.#places.clear();
    for (const step of steps) {
      const { id, name, stage, op, parent } = step;
      const from = inputsOf(step).slice(parent === undefined ? 0 : 1);
      this.#places.set(op, id);
      this.#steps.push({
        name,
        stage,
        kind: op.kind,
        how: 'waiting',
        ...(parent !== undefined && { parent }),
        ...(from.length > 0 && { from }),
      });
    }
  }

  /** What a base image was found to be. */
  image(operation: ImageOperation, digest: Digest, layers: readonly { readonly id: Digest }[]): void {
    const step = this.#steps[this.#places.get(operation) ?? -1];
    if (!step) return;
    step.source = { name: shownReference(operation.reference), digest };
    step.layers = layers.map(({ id }) => id);
  }

  started({ id }: Step): void {
    this.#startedMs[id] ??= performance.now();
  }

  prepared({ id }: Step, { record, exact }: Prepared): void {
    const outcome = this.#step(id);
    outcome.key = stepKey(record);
    outcome.exact = beginning(exactDigest(exact));
  }

  /** Why it is executed, unless that cannot be found out. */
  async missed({ id, where }: Step, prepared: Prepared, flag: string | undefined): Promise<Reason | undefined> {
    // Not sooner: to say where an instruction stands loads what reads the Dockerfile exactly, which a cached build does without.
    if (where) this.#step(id).line = where.range.startLine;
    if (!this.#isStored) this.#store();
    try {
      this.#explainer ??= this.#openExplainer();
      const why = await (await this.#explainer).explain(id, prepared, flag);
      this.#step(id).why = why;
      return why;
    } catch (error) {
      debug(() => `why step ${id + 1} is executed cannot be said: ${toErrorObject(error).message}`);
      return undefined;
    }
  }

  /** `trace`: its row; without one it is a source. */
  done(step: Step, cached: boolean, layer: Layer | undefined, trace: number | undefined): void {
    const outcome = this.#end(step, trace === undefined ? 'source' : cached ? 'cached' : 'executed');
    if (trace === undefined) return;
    outcome.trace = trace;
    if (layer) outcome.tree = beginning(layer.tree);
    // A long record is not written for every one of its steps.
    if (!cached && (this.#steps.length < FEW_STEPS || Date.now() - this.#storedAt > STORE_EVERY_MS)) this.#store();
  }

  failed(step: Step): void {
    this.#end(step, 'failed');
  }

  canceled(step: Step): void {
    this.#end(step, 'canceled');
  }

  /** The build is over. One that failed before it had a plan leaves no record. */
  end(status: Exclude<BuildStatus, 'running'>, image: string | undefined, error?: unknown): void {
    if (this.#workshop === undefined) return;
    this.#build.ended = Date.now();
    this.#build.status = status;
    this.#build.image = image;
    this.#build.error = error === undefined ? undefined : toErrorObject(error).message;
    if (!this.#isStored && status === 'completed' && this.#wait()) return;
    const wasStored = this.#isStored;
    this.#store();
    if (wasStored) dropOldBuilds(this.#workplace.store.db);
  }

  /** Whether the record can wait for the next to be stored: nothing was executed. */
  #wait(): boolean {
    if (this.#isDry) return false;
    try {
      return addPending(this.#workplace.store.path(PENDING_BUILDS), this.#record());
    } catch {
      return false; // Storing it will say why.
    }
  }

  #record(): BuildRecord {
    return { ...this.#build, steps: this.#steps.length > MAX_STEPS ? [] : this.#steps };
  }

  #end({ id }: Step, how: How): Mutable<StepOutcome> {
    const outcome = this.#step(id);
    const started = this.#startedMs[id];
    outcome.how = how;
    if (started !== undefined && how !== 'cached') outcome.durationMs = Math.round(performance.now() - started);
    return outcome;
  }

  #step(id: number): Mutable<StepOutcome> {
    return this.#steps[id] as Mutable<StepOutcome>;
  }

  #store(): void {
    if (this.#isDry) return;
    try {
      const { db, path } = this.#workplace.store;
      if (!this.#isStored) bringIn(db, path(PENDING_BUILDS));
      storeBuild(db, this.#record());
      this.#isStored = true;
      this.#storedAt = Date.now();
    } catch (error) {
      debug(() => `the record of this build cannot be written: ${toErrorObject(error).message}`);
    }
  }

  async #openExplainer(): Promise<Explainer> {
    const { Explainer } = await import('../solve/why/why.ts');
    return new Explainer(this.#workshop as Workshop, this.#build, this.#steps);
  }
}

const beginning = (digest: Digest): string => hexOf(digest).slice(0, 16);
