// `diff`: what is different between two images, steps or layers.

import { TbuildError } from '../../base/errors.ts';
import type { Records } from '../../images/records.ts';
import { type Difference, differences } from '../../snapshots/differences.ts';
import type { LayerIndex } from '../../snapshots/layer-index.ts';
import { layersOf, stepNamed } from './steps.ts';

/** `after` undefined: what `before`'s own last layer changed. Throws `image/unknown`, `usage/unknown-step`, `store/layer-gone`. */
export function diffTrees(records: Records, before: string, after: string | undefined): Difference[] {
  const first = stackNamed(records, before);
  return after === undefined ? differences(first.slice(0, -1), first) : differences(first, stackNamed(records, after));
}

/** An image; `step:5` of the last build, `step:BUILD:5` of another; a layer by its digest or the beginning of it, `blake3:…`. */
function stackNamed(records: Records, name: string): LayerIndex[] {
  if (name.startsWith('step:')) {
    const { build, at } = stepNamed(records.store, name);
    return layersOf(records, build, at).map((id) => records.layers.index(id));
  }
  if (name.startsWith('blake3:')) return [layerNamed(records, name)];
  const { layers } = records.images.resolve(name);
  return layers.map((id) => {
    if (records.layers.get(id)) return records.layers.index(id);
    throw new TbuildError('store/layer-gone', `the layer ${id} of ${name} is not in the store`);
  });
}

function layerNamed({ layers }: Records, name: string): LayerIndex {
  const found = layers.all().filter(({ id }) => id.startsWith(name));
  if (found.length > 1) throw new TbuildError('usage/ambiguous-layer', `several layers begin with ${name}`);
  if (found[0]) return layers.index(found[0].id);
  throw new TbuildError('image/unknown', `there is no layer ${name}`);
}
