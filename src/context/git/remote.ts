// How a remote repository is spoken to: by which transports, with whose credentials, and how its failures are told.

import { TbuildError } from '../../base/errors.ts';
import { redactUrl } from '../../http/url.ts';
import type { GitAccess, GitCall } from './command.ts';

/** An encrypted remote never sends us to an open one. Credentials go to the remote that they are for, and to no other that it sends us to. */
export function remoteCall(access: GitAccess, remote: string, scope: string): GitCall {
  const authorization = findAuthorization(access, scope);
  const scheme = /^(https?|git):/i.exec(remote)?.[1]?.toLowerCase() ?? 'ssh';
  return {
    directory: '/',
    gitDir: '/dev/null',
    protocols: scheme === 'http' ? 'http:https' : scheme,
    config: authorization === undefined ? [] : [...authorization, ['http.followRedirects', 'false']],
  };
}

/** BuildKit: source/git, getAuthToken. */
function findAuthorization({ secret }: GitAccess, remote: string): [string, string][] | undefined {
  const host = /^https?:\/\/(?:[^/@]*@)?([^/]+)/i.exec(remote)?.[1];
  if (host === undefined) return undefined;
  for (const suffix of [`.${host}`, '']) {
    const header = secret(`GIT_AUTH_HEADER${suffix}`)?.toString().trim();
    const token = secret(`GIT_AUTH_TOKEN${suffix}`)?.toString().trim();
    const value =
      header ?? (token === undefined ? undefined : `Basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`);
    if (value !== undefined) return [[`http.${tokenScope(remote)}.extraheader`, `Authorization: ${value}`]];
  }
  return undefined;
}

/** One token serves all of github.com's repositories, as with actions/checkout. */
function tokenScope(remote: string): string {
  return /^https:\/\/(?:www\.)?github\.com\//.exec(remote)?.[0] ?? remote.replace(/\/\/[^/@]*@/, '//');
}

/** Says of which remote a failure of git's is. */
export async function remotely<T>(remote: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof TbuildError) || error.code !== 'context/git') throw error;
    const { message, cause, details } = error;
    throw new TbuildError('context/git', `failed to fetch remote ${redactUrl(remote)}: ${message}`, {
      cause,
      details,
      hint: /could not read Username|Authentication failed|40[13]|Permission denied/.test(String(details?.stderr))
        ? 'give a token as the secret GIT_AUTH_TOKEN, or for ssh an agent with --ssh'
        : undefined,
    });
  }
}
