// Containers go one after the other, each with what it wrote; anonymous volumes with --rm and -v.

import type { Workplace } from '../snapshots/workplace.ts';
import { Containers } from './containers.ts';

export interface ContainerRemoval {
  readonly name: string;
  /** Undefined: it is gone. */
  readonly error: unknown;
}

export async function removeContainers(
  workplace: Workplace,
  names: readonly string[],
  options: { readonly force: boolean; readonly volumes: boolean },
): Promise<ContainerRemoval[]> {
  const containers = new Containers(workplace);
  const removals: ContainerRemoval[] = [];
  for (const name of names) {
    try {
      await containers.remove(containers.find(name), options);
      removals.push({ name, error: undefined });
    } catch (error) {
      removals.push({ name, error });
    }
  }
  return removals;
}
