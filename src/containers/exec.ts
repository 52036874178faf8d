// `exec`: one more command in a container that runs.

import { TbuildError } from '../base/errors.ts';
import { type ExecOptions, execIn } from '../native/monitor.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { userIn } from './accounts.ts';
import { assertRunning, find } from './act.ts';
import { Containers } from './containers.ts';

export interface ContainerExec extends ExecOptions {
  readonly command: readonly string[];
  /** `NAME=value`; the rest is the container's own. */
  readonly env: readonly string[];
  /** As `--user` has it; unset: the container's own. */
  readonly user?: string;
  readonly workdir?: string;
  readonly privileged: boolean;
}

/** What executes it: that may take long, and needs the store no more. Its exit status is the command's. */
export async function prepareExec(place: Workplace, nameOrId: string, options: ContainerExec): Promise<() => Promise<number>> {
  const container = await find(new Containers(place), nameOrId);
  const { status } = assertRunning(container);
  if (status === 'paused') {
    throw new TbuildError('container/paused', `container ${nameOrId} is paused, unpause the container before exec`);
  }
  const { command, env, user, workdir, privileged, ...streams } = options;
  const credentials = user === undefined ? undefined : userIn(place, container, user);
  const request = {
    args: command,
    env,
    ...(workdir !== undefined && { cwd: workdir }),
    ...(credentials && { user: { uid: credentials.uid, gid: credentials.gid, groups: credentials.additionalGids } }),
    ...(privileged && { privileged }),
  };
  return () => execIn(container.directory, request, streams);
}
