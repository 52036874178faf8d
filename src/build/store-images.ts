// From the results of a build's steps to images in the store, one for each platform, and their index.

import type { Images } from '../images/store.ts';
import type { Plan, Target } from '../plan/graph.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { Solved } from '../solve/solver.ts';
import type { State } from '../steps/step.ts';
import { assembleConfig } from './assemble.ts';
import type { BuiltImage } from './outputs/built-image.ts';

export async function storeIndex(workplace: Workplace, images: Images, built: readonly BuiltImage[], names: readonly string[]) {
  const { keepIndex } = await import('../images/keep-index.ts');
  const isAttested = built.some(({ said = [] }) => said.length > 0);
  const from = isAttested ? (await import('./attest/attest.ts')).attester(built, names) : undefined;
  return keepIndex(workplace, images, built, names, from);
}

/** `epoch`: of all that says when; `isReproducible`: of the files in the layers, too. */
export async function storeImages(
  workplace: Workplace,
  images: Images,
  graph: Plan,
  solved: ReadonlyMap<number, Solved>,
  { epoch, isReproducible, names }: { epoch: number | undefined; isReproducible: boolean; names: readonly string[] },
): Promise<BuiltImage[]> {
  const reproducible = isReproducible ? await import('./reproducible.ts') : undefined;
  const built: BuiltImage[] = [];
  for (const target of graph.targets) {
    const state = stateAt(target, solved);
    const dated = reproducible ? await reproducible.dateLayers(workplace, graph, target, state, epoch as number) : state;
    built.push(await storeImage(workplace, images, target, dated, solved, epoch, names));
  }
  return built;
}

function stateAt({ state }: Target, solved: ReadonlyMap<number, Solved>): State {
  const result = state === undefined ? undefined : solved.get(state)?.result;
  return result?.kind === 'state' ? result.state : [];
}

async function storeImage(
  workplace: Workplace,
  images: Images,
  target: Target,
  state: State,
  solved: ReadonlyMap<number, Solved>,
  epoch: number | undefined,
  names: readonly string[],
): Promise<BuiltImage> {
  const layers = await Promise.all(state.map((layer) => workplace.layers.describe(layer)));
  const config = assembleConfig(
    target,
    layers.map(({ diffId }) => diffId),
    (step) => solved.get(step)?.created,
    epoch,
  );
  return {
    platform: target.platform,
    image: images.put({ config, layers, names }),
    state,
    ...(epoch !== undefined && { epoch }),
  };
}
