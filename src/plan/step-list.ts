// The steps of a graph while it is made. Sources (images, contexts) are made when they are first used, and once.

import type { Location } from '../base/errors.ts';
import type { Platform } from '../oci/config.ts';
import { formatPlatform } from '../oci/platform.ts';

import type { RemoteOperation, Step, StepId } from './graph.ts';

import { PlanSize } from './plan-size.ts';

import { remoteName } from './remote.ts';

export class StepList {
  readonly steps: Step[] = [];
  readonly size = new PlanSize();
  private readonly sources = new Map<string, StepId>();

  add(step: Omit<Step, 'id'>): StepId {
    const id = this.steps.length;
    this.steps.push({ id, ...step });
    return id;
  }

  /** Earlier results of the steps from `first` on do not count: of those that BuildKit marks so (convert.go, dispatchRun and dispatchCopy). */
  ignoreCacheFrom(first: StepId): void {
    for (const [id, step] of this.steps.entries()) {
      if (id >= first && (step.op.kind === 'run' || step.op.kind === 'copy')) this.steps[id] = { ...step, noCache: true };
    }
  }

  image(reference: string, platform: Platform, shown: { name: string; stage: string; where: Location | undefined }): StepId {
    return this.source(`image ${formatPlatform(platform)} ${reference}`, () =>
      this.add({ ...shown, parent: undefined, op: { kind: 'image', reference, platform } }),
    );
  }

  /** `''` is the main one. */
  context(name: string, shown?: string): StepId {
    const usual = name === '' ? '[internal] load build context' : `[context ${name}] load from client`;
    return this.source(`context ${name}`, () =>
      this.add({ name: shown ?? usual, stage: '', where: undefined, parent: undefined, op: { kind: 'context', name } }),
    );
  }

  remote(op: RemoteOperation, where: Location): StepId {
    return this.source(`${op.kind} ${JSON.stringify(op)}`, () =>
      this.add({ name: remoteName(op), stage: '', where, parent: undefined, op }),
    );
  }

  private source(key: string, make: () => StepId): StepId {
    const known = this.sources.get(key);
    if (known !== undefined) return known;
    const id = make();
    this.sources.set(key, id);
    return id;
  }
}
