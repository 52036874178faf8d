// Containers that do not run go: all of them, or those that filters fit.

import type { Workplace } from '../snapshots/workplace.ts';
import { type Container, Containers, isAlive } from './containers.ts';
import { sizeOf } from './size.ts';

export interface PrunedContainers {
  readonly ids: readonly string[];
  readonly sizeBytes: number;
}

export async function pruneContainers(
  workplace: Workplace,
  isMeant: (container: Pick<Container, 'created' | 'spec'>) => boolean,
): Promise<PrunedContainers> {
  const containers = new Containers(workplace);
  await containers.sweep();
  const ids: string[] = [];
  let sizeBytes = 0;
  for (const container of containers.list()) {
    if (isAlive(container.state().status) || !isMeant(container)) continue;
    const { writtenBytes } = await sizeOf(workplace, container);
    if (!(await isRemoved(containers, container))) continue;
    ids.push(container.id);
    sizeBytes += writtenBytes;
  }
  return { ids, sizeBytes };
}

/** Somebody may have started it, or removed it, in this moment. */
async function isRemoved(containers: Containers, container: Container): Promise<boolean> {
  try {
    await containers.remove(container, { force: false });
    return true;
  } catch (error) {
    if (isAlive(container.state().status)) return false;
    throw error;
  }
}
