// The SSH agents given to a build: `--ssh id[=socket|key[,key…]]`. Looked at once at its start, so that a wrong path is said before anything
// runs. A key is held in memory by this process alone, and is in no key, layer, log or event.

import { statSync } from 'node:fs';
import { TbuildError } from '../base/errors.ts';
import type { SshAgent } from '../sandbox/ssh-agent.ts';

export interface SshSource {
  readonly id: string;
  /** An agent's socket, or files of private keys; none: the agent of $SSH_AUTH_SOCK. */
  readonly paths: readonly string[];
}

export type SshAgents = ReadonlyMap<string, SshAgent>;

/** Throws `usage/ssh`. Nothing is loaded for a build without any. */
export async function openSshAgents(sources: readonly SshSource[]): Promise<SshAgents> {
  const agents = new Map<string, SshAgent>();
  for (const { id, paths } of sources) {
    if (agents.has(id)) throw new TbuildError('usage/ssh', `--ssh is given twice for the id ${id}`);
    agents.set(id, await openAgent(id, paths));
  }
  return agents;
}

async function openAgent(id: string, paths: readonly string[]): Promise<SshAgent> {
  const { agentAt } = await import('../sandbox/ssh-agent.ts');
  if (paths.length === 0) return agentAt(agentOfThisSession(id));
  const sockets = paths.filter(isSocket);
  if (sockets.length === 0) {
    const { readKeys } = await import('../sandbox/ssh-keys.ts');
    const keys = readKeys(paths);
    return { connect: async () => keys };
  }
  if (paths.length > 1) throw new TbuildError('usage/ssh', `--ssh ${id} takes one socket, or any number of key files`);
  return agentAt(sockets[0] as string);
}

function agentOfThisSession(id: string): string {
  const path = process.env.SSH_AUTH_SOCK;
  if (path && isSocket(path)) return path;
  const what = path ? `no agent listens at ${path}, which SSH_AUTH_SOCK names` : 'SSH_AUTH_SOCK is not set';
  throw new TbuildError('usage/ssh', `--ssh ${id} needs an SSH agent, and ${what}`, {
    hint: `start one (eval $(ssh-agent); ssh-add), or name a key: --ssh ${id}=FILE`,
  });
}

function isSocket(path: string): boolean {
  try {
    return statSync(path).isSocket();
  } catch {
    return false; // As a key it will be said to be unreadable.
  }
}
