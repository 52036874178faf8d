// Other limits and another restart policy: in the record, and at once where the container runs.

import { TbuildError } from '../base/errors.ts';
import { control } from '../native/monitor.ts';
import type { Limits } from '../sandbox/limits.ts';
import { type Containers, isAlive } from './containers.ts';
import type { RestartPolicy } from './spec.ts';
import { restartOf } from './start.ts';

export interface ContainerChange {
  /** What is not in it stays as it is. */
  readonly limits: Limits;
  readonly restart?: RestartPolicy;
}

/** The record first: what a container that runs refuses is what it has at its next start. Rather it is put back. */
export async function updateContainer(
  containers: Containers,
  nameOrId: string,
  { limits, restart }: ContainerChange,
): Promise<void> {
  const container = containers.find(nameOrId);
  await containers.settle(container);
  const { spec, directory } = container;
  if (restart && restart.name !== 'no' && spec.autoRemove) {
    throw new TbuildError(
      'container/conflict',
      'Restart policy cannot be updated because AutoRemove is enabled for the container',
    );
  }
  const changed = { ...spec, limits: merged(spec.limits, limits), ...(restart && { restart }) };
  containers.update(container, changed);
  if (!isAlive(container.state().status)) return;
  const resources = Object.keys(limits).length > 0 ? changed.limits : undefined;
  try {
    await control(directory, {
      op: 'update',
      ...(resources && { resources }),
      ...(restart && { restart: restartOf(changed) }),
    });
  } catch (error) {
    containers.update(container, spec);
    throw error;
  }
}

function merged(before: Limits, change: Limits): Limits {
  const [limit, swap] = [change.memory?.limit, change.memory?.swap ?? before.memory?.swap];
  if (limit !== undefined && swap !== undefined && swap !== -1 && limit > swap) {
    throw new TbuildError(
      'container/conflict',
      'Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time',
    );
  }
  const keys = [...new Set([...Object.keys(before), ...Object.keys(change)])] as (keyof Limits)[];
  return Object.fromEntries(keys.map((key) => [key, { ...before[key], ...change[key] }])) as Limits;
}
