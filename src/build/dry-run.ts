// What a build would execute, and why, without building. No command is executed, and nothing of it stays: what COPYs would make is made in this
// process's folder, so that commands on it can be looked up by what they saw. Images are not pulled; what is far away is asked for as in a build.

import { TbuildError } from '../base/errors.ts';
import type { Reason } from '../cache/builds.ts';
import { fetchLater } from '../cache/fetch-later.ts';
import { bringIn, PENDING_BUILDS } from '../cache/pending-builds.ts';
import { Checks } from '../dockerfile/checks.ts';
import { findHere } from '../images/find-here.ts';
import { Images } from '../images/store.ts';
import { familiarName, normalizeName } from '../oci/reference.ts';
import type { BaseImages, Step } from '../plan/graph.ts';
import { openWorkplace } from '../snapshots/workplace.ts';
import { type Listener, solve } from '../solve/solver.ts';
import { bareName } from '../solve/why/past.ts';
import { BaseImageFinder } from './base-images.ts';
import type { BuildOptions } from './build.ts';
import { BuildRecorder } from './build-recorder.ts';
import { findContexts } from './contexts/contexts.ts';
import { isLayoutReference } from './contexts/layout-images.ts';
import { planBuild } from './plan-build.ts';
import { wantedPlatforms } from './platforms.ts';
import { openSandbox } from './sandbox-options.ts';
import { workshopOf } from './workshop.ts';

export type DryRunOptions = Omit<BuildOptions, 'onEvent' | 'outputs' | 'stdout'>;

export interface DryStep {
  /** From 1. */
  readonly number: number;
  readonly name: string;
  readonly stage: string;
  /** `depends`: on what the commands in `on` would make. */
  readonly how: 'cached' | 'would-run' | 'depends';
  readonly why?: Reason;
  readonly on?: readonly string[];
}

/** Sources are left out. Throws `image/not-here` where a base image is missing, for then nothing is known of what stands on it. */
export async function dryRun(options: DryRunOptions): Promise<DryStep[]> {
  const openContexts = await findContexts(options);
  const workplace = await openWorkplace(options.root, fetchLater(options.signal));
  const images = new Images(workplace.store, workplace.layers);
  const bases = new BaseImageFinder(workplace, images, false, options.signal);
  try {
    const sandbox = await openSandbox(options);
    const fresh = { ...sandbox, fresh: options.noCache };
    const contexts = await openContexts(workplace, fresh);
    const wanted = wantedPlatforms(options.platforms ?? [], options.buildArgs);
    const planned = await planBuild(
      options,
      wanted,
      { workplace, contexts, remote: fresh },
      imagesHere(images, bases),
      new Checks(),
    );
    const { steps } = planned.graph;
    const fixed = options.reproducible ? (await import('./reproducible.ts')).FIXED_TIME : undefined;
    const workshop = workshopOf(workplace, { made: planned.epoch, fixed });
    bringIn(workplace.store.db, workplace.store.path(PENDING_BUILDS));
    const recorder = new BuildRecorder(workplace, options, options.tags.map(normalizeName), undefined);
    recorder.plan(steps, workshop);
    const found = new DryRun(recorder);
    await solve({
      graph: planned.graph,
      workshop,
      settings: await sandbox.settingsFor(steps, 1, workplace),
      slots: 1,
      noCache: options.noCache,
      verify: 'none',
      isDry: true,
      image: async (operation, report) => {
        const state = await bases.state(operation, report);
        recorder.image(operation, await bases.digest(operation), state);
        return state;
      },
      context: (name) => contexts.open(name, planned.hold?.pins),
      listener: found,
      signal: options.signal,
    });
    return found.steps();
  } finally {
    await bases.close();
    await workplace.close();
  }
}

class DryRun implements Listener {
  readonly #recorder: BuildRecorder;
  readonly #found: DryStep[] = [];
  /** The commands that a step's result hangs on. */
  readonly #roots = new Map<Step, readonly string[]>();

  constructor(recorder: BuildRecorder) {
    this.#recorder = recorder;
  }

  steps(): DryStep[] {
    return this.#found.sort((a, b) => a.number - b.number);
  }

  started(): void {}
  output(): void {}
  status(): void {}
  canceled(): void {}
  failed(): void {}

  prepared(...event: Parameters<Listener['prepared']>): void {
    this.#recorder.prepared(...event);
  }

  async missed(...[step, prepared, flag]: Parameters<Listener['missed']>): Promise<void> {
    const why = await this.#recorder.missed(step, prepared, flag);
    this.#roots.set(step, [bareName(step.name)]);
    this.#add(step, { how: 'would-run', ...(why && { why }) });
  }

  undecided(step: Step, on: readonly Step[]): void {
    const roots = [...new Set(on.flatMap((below) => this.#roots.get(below) ?? []))];
    this.#roots.set(step, roots);
    this.#add(step, { how: 'depends', on: roots });
  }

  done(...[step, cached, layer, trace]: Parameters<Listener['done']>): void {
    this.#recorder.done(step, cached, layer, trace);
    if (cached) this.#add(step, { how: 'cached' });
  }

  #add({ id, name, stage }: Step, what: Pick<DryStep, 'how' | 'why' | 'on'>): void {
    this.#found.push({ number: id + 1, name, stage, ...what });
  }
}

/** Those of the store. What a layout has would have to be brought here first. */
function imagesHere(images: Images, bases: BaseImageFinder): BaseImages {
  return {
    config: async (reference, platform) => {
      if (!isLayoutReference(reference) && findHere(images, reference, platform)) return bases.config(reference, platform);
      const name = isLayoutReference(reference) ? reference : familiarName(reference);
      throw new TbuildError('image/not-here', `${name} is not in the store, and a dry run fetches no image`, {
        hint: isLayoutReference(reference) ? 'build once' : `tbuild pull ${name}`,
      });
    },
  };
}
