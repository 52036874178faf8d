// `diff`: what is different between two images, steps or layers.

import { TbuildError } from '../../base/errors.ts';
import type { Records } from '../../images/records.ts';
import { type Difference, differences } from '../../snapshots/differences.ts';
import type { LayerIndex } from '../../snapshots/layer-index.ts';
import { findBuild } from './builds.ts';
import { findSteps, stackOf } from './steps.ts';

/** `after` undefined: what `before`'s own last layer changed. Throws `image/unknown`, `usage/unknown-step`, `store/layer-gone`. */
export function diffTrees(records: Records, before: string, after: string | undefined): Difference[] {
  const first = stackNamed(records, before);
  return after === undefined ? differences(first.slice(0, -1), first) : differences(first, stackNamed(records, after));
}

/** An image; `step:5` of the last build, `step:BUILD:5` of another; a layer by its digest or the beginning of it, `blake3:…`. */
function stackNamed(records: Records, name: string): LayerIndex[] {
  const [, build, step] = /^step:(?:([0-9a-f]{4,12}):)?(.+)$/.exec(name) ?? [];
  if (step !== undefined) return stackOfStep(records, build, step);
  if (name.startsWith('blake3:')) return [layerNamed(records, name)];
  const { layers } = records.images.resolve(name);
  return layers.map((id) => {
    if (records.layers.get(id)) return records.layers.index(id);
    throw new TbuildError('store/layer-gone', `the layer ${id} of ${name} is not in the store`);
  });
}

function stackOfStep(records: Records, id: string | undefined, wanted: string): LayerIndex[] {
  const build = findBuild(records.store, id);
  const [at, another] = findSteps(build, wanted);
  if (another !== undefined) {
    throw new TbuildError('usage/ambiguous-step', `several steps of build ${build.id} are "${wanted}"`, {
      hint: 'tbuild why shows their numbers',
    });
  }
  const stack = stackOf(records, build, at);
  if (stack) return stack;
  throw new TbuildError('store/layer-gone', `layers of step ${wanted} of build ${build.id} are not in the store any more`, {
    hint: 'build again',
  });
}

function layerNamed({ layers }: Records, name: string): LayerIndex {
  const found = layers.all().filter(({ id }) => id.startsWith(name));
  if (found.length > 1) throw new TbuildError('usage/ambiguous-layer', `several layers begin with ${name}`);
  if (found[0]) return layers.index(found[0].id);
  throw new TbuildError('image/unknown', `there is no layer ${name}`);
}
