// The sockets of `RUN --mount=type=ssh`: one for each mount, there while the command runs, in a folder of this process.

import { TbuildError } from '../base/errors.ts';
import type { RunMount } from '../plan/graph.ts';
import type { ServedAgent, SshAgent } from '../sandbox/ssh-agent.ts';
import type { Workshop } from './step.ts';

export interface HeldAgents {
  /** In the places of the mounts; undefined: none was given, or it is no such mount. */
  readonly sockets: readonly (string | undefined)[];
  release(): Promise<void>;
}

/** Throws `run/ssh-missing` for one that is required and was not given. */
export async function holdAgents(
  workshop: Workshop,
  ssh: (id: string) => SshAgent | undefined,
  mounts: readonly RunMount[],
): Promise<HeldAgents> {
  const served: ServedAgent[] = [];
  const release = async () => {
    for (const one of served) await one.close();
  };
  const sockets: (string | undefined)[] = [];
  try {
    for (const mount of mounts)
      sockets.push(mount.type === 'ssh' ? await serve(workshop, ssh(mount.id), mount, served) : undefined);
  } catch (error) {
    await release();
    throw error;
  }
  return { sockets, release };
}

async function serve(
  workshop: Workshop,
  agent: SshAgent | undefined,
  mount: RunMount & { type: 'ssh' },
  served: ServedAgent[],
): Promise<string | undefined> {
  if (!agent) {
    if (!mount.required) return undefined;
    throw new TbuildError('run/ssh-missing', `no SSH key "${mount.id}" forwarded from the client`, {
      hint: `give it: --ssh ${mount.id} for the agent of $SSH_AUTH_SOCK, or --ssh ${mount.id}=FILE for a key`,
    });
  }
  const { serveAgent } = await import('../sandbox/ssh-agent.ts');
  const { mode, uid, gid } = mount;
  const setOwner = (path: string) => workshop.serve.call('setOwner', { path, uid, gid });
  const one = await serveAgent(agent, workshop.newPath(), mode, setOwner);
  served.push(one);
  return one.path;
}
