// What is asked of a container that is there: each finds it, says in docker's words what cannot be done now, and asks its monitor for the rest.
// Needs the records only.

import { TbuildError } from '../base/errors.ts';
import type { AttachOptions } from '../native/monitor.ts';
import { attachTo, control } from '../native/monitor.ts';
import { type Container, type Containers, isAlive } from './containers.ts';
import type { ContainerState } from './state.ts';

export interface StopOptions {
  /** Undefined: the container's own. */
  readonly signal?: string | undefined;
  /** Until it is killed; -1: never. Undefined: the container's own. */
  readonly timeoutSeconds?: number | undefined;
}

/** One that does not run is stopped already. */
export async function stop(containers: Containers, nameOrId: string, options: StopOptions): Promise<void> {
  const container = await find(containers, nameOrId);
  if (!isAlive(container.state().status)) return;
  await askUnlessEnded(container, { op: 'stop', ...stopRequest(options) });
  containers.tell('stop', container);
}

/** Whether it ran: one that does not is to be started. */
export async function restart(containers: Containers, nameOrId: string, options: StopOptions): Promise<boolean> {
  const container = await find(containers, nameOrId);
  if (!isAlive(container.state().status)) return false;
  await control(container.directory, { op: 'restart', ...stopRequest(options) });
  containers.tell('restart', container);
  return true;
}

function stopRequest({ signal, timeoutSeconds }: StopOptions): { signal?: string; timeoutMs?: number } {
  return {
    ...(signal !== undefined && { signal }),
    ...(timeoutSeconds !== undefined && { timeoutMs: timeoutSeconds < 0 ? NEVER_MS : timeoutSeconds * 1000 }),
  };
}

/** For a time that never comes. */
export const NEVER_MS = 2 ** 31 - 1;

export async function kill(containers: Containers, nameOrId: string, signal: string): Promise<void> {
  const container = await find(containers, nameOrId);
  const { status } = container.state();
  const why = isAlive(status) ? undefined : `container ${container.id} is not running`;
  if (why !== undefined) throw new TbuildError('container/not-running', `cannot kill container: ${nameOrId}: ${why}`);
  await control(container.directory, { op: 'kill', signal });
  containers.tell('kill', container, { signal });
}

export async function pause(containers: Containers, nameOrId: string): Promise<void> {
  const container = await find(containers, nameOrId);
  const { status } = assertRunning(container);
  if (status === 'paused') throw new TbuildError('container/paused', `container ${container.id} is already paused`);
  await control(container.directory, { op: 'pause' });
  containers.tell('pause', container);
}

export async function unpause(containers: Containers, nameOrId: string): Promise<void> {
  const container = await find(containers, nameOrId);
  const { status } = container.state();
  if (status !== 'paused') throw new TbuildError('container/not-paused', `container ${container.id} is not paused`);
  await control(container.directory, { op: 'unpause' });
  containers.tell('unpause', container);
}

/** Its exit status, when it has ended; of one that does not run at once. */
export async function waitFor(containers: Containers, nameOrId: string): Promise<number> {
  const container = await find(containers, nameOrId);
  const state = container.state();
  if (!isAlive(state.status)) return state.exitCode;
  const answer = await askUnlessEnded<{ exitCode: number }>(container, { op: 'wait' });
  return answer?.exitCode ?? container.state().exitCode;
}

export async function attach(
  containers: Containers,
  nameOrId: string,
  options: AttachOptions & { readonly noStdin: boolean },
): Promise<number> {
  const container = await find(containers, nameOrId);
  const { status } = container.state();
  const hint = { paused: 'unpause it first', restarting: 'wait until it is running' }[status as string] ?? 'start it first';
  if (status !== 'running') {
    const is = isAlive(status) ? status : 'stopped';
    throw new TbuildError('container/not-running', `cannot attach to a ${is} container, ${hint}`);
  }
  return attachTo(container.directory, { ...options, noStdin: options.noStdin || !container.spec.openStdin });
}

/** Throws docker's words for one whose processes are not there, or come and go. */
export function assertRunning({ id, state }: Container): ContainerState {
  const now = state();
  if (!isAlive(now.status)) throw new TbuildError('container/not-running', `container ${id} is not running`);
  if (now.status !== 'restarting') return now;
  throw new TbuildError('container/restarting', `container ${id} is restarting, wait until the container is running`);
}

export async function find(containers: Containers, nameOrId: string): Promise<Container> {
  const container = containers.find(nameOrId);
  await containers.settle(container);
  return container;
}

/** Undefined: it ended by itself meanwhile, which is as good. */
async function askUnlessEnded<T>(container: Container, request: Parameters<typeof control>[1]): Promise<T | undefined> {
  try {
    return await control<T>(container.directory, request);
  } catch (error) {
    if (isAlive(container.state().status)) throw error;
    return undefined;
  }
}
