// `login` and `logout`: credentials are tried before they are kept, and kept where docker keeps them: with the helper that its configuration names,
// else in the file, which nobody else may read.

import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { TbuildError } from '../base/errors.ts';
import { RegistryClient } from './client.ts';
import { credentialFiles, helperFor, readCredentialFile, registryOf, serverOf } from './credential-file.ts';
import { findCredentials } from './credentials.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface UserCredentials {
  readonly user: string;
  readonly password: string;
}

export interface LoginOptions {
  /** As users write it: `quay.io`, `https://localhost:5000/`; unset: Docker Hub. */
  readonly server?: string;
  /** Unset: those that are known already. */
  readonly credentials?: UserCredentials;
  readonly env: Environment;
  readonly signal: AbortSignal;
}

export interface Login {
  readonly registry: string;
  /** The file where they are as they are; undefined: a helper has them, or nothing was written. */
  readonly file: string | undefined;
}

const registryNamed = (server: string | undefined): string => registryOf(server || 'docker.io');

/** Whether there is anything to try before a user is asked. */
export async function isKnown({ server, env, signal }: LoginOptions): Promise<boolean> {
  return (await findCredentials(registryNamed(server), env, signal)).credentials !== undefined;
}

/** Throws `auth/unauthorized` where the registry does not take them. */
export async function login(options: LoginOptions): Promise<Login> {
  const { credentials, env, signal } = options;
  const registry = registryNamed(options.server);
  const client = new RegistryClient({ signal, env });
  try {
    await client.checkLogin(registry, credentials);
  } finally {
    await client.close();
  }
  return { registry, file: credentials && (await keep(registry, credentials, env, signal)) };
}

async function keep(registry: string, credentials: UserCredentials, env: Environment, signal: AbortSignal) {
  const path = credentialFiles(env)[0];
  if (path === undefined) throw new TbuildError('auth/no-file', 'there is no place for credentials: HOME is not set');
  const helper = existsSync(path) ? helperFor(readCredentialFile(path), registry) : undefined;
  if (helper !== undefined) {
    const { storeWithHelper } = await import('./credential-helper.ts');
    await storeWithHelper(helper, serverOf(registry), credentials, env, signal);
    return undefined;
  }
  const auth = Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64');
  editFile(path, (auths) => ({ ...withoutRegistry(auths, registry), [serverOf(registry)]: { auth } }));
  return path;
}

/** Wherever they are. Whether there were any. */
export async function logout({
  server,
  env,
  signal,
}: Omit<LoginOptions, 'credentials'>): Promise<{ registry: string; had: boolean }> {
  const registry = registryNamed(server);
  let had = false;
  for (const path of credentialFiles(env).filter((file) => existsSync(file))) {
    const file = readCredentialFile(path);
    const helper = helperFor(file, registry);
    if (helper !== undefined) {
      const { eraseFromHelper } = await import('./credential-helper.ts');
      had = (await eraseFromHelper(helper, serverOf(registry), env, signal)) || had;
    }
    if (![...file.auths.keys()].some((key) => isOf(key, registry))) continue;
    editFile(path, (auths) => withoutRegistry(auths, registry));
    had = true;
  }
  return { registry, had };
}

/** Of the registry as a whole: podman's entries for parts of it stay. */
function isOf(key: string, registry: string): boolean {
  return registryOf(key) === registry && !/^[^/]+\/(?!v[12]\/?$)/.test(key.replace(/^https?:\/\//, ''));
}

function withoutRegistry(auths: Readonly<Record<string, unknown>>, registry: string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(auths).filter(([key]) => !isOf(key, registry)));
}

/** What else the file says stays. Written beside and renamed; where it is a link, the file that it leads to. */
function editFile(path: string, edit: (auths: Readonly<Record<string, unknown>>) => Record<string, unknown>): void {
  const target = existsSync(path) ? realpathSync(path) : path;
  const text = existsSync(target) ? readFileSync(target, 'utf8').trim() : '';
  const document = (text === '' ? {} : JSON.parse(text)) as { auths?: Record<string, unknown> };
  const edited = { ...document, auths: edit(document.auths ?? {}) };
  const temporary = `${target}.${process.pid}`;
  try {
    mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
    const mode = (statSync(target, { throwIfNoEntry: false })?.mode ?? 0o600) & 0o600;
    writeFileSync(temporary, `${JSON.stringify(edited, null, '\t')}\n`, { mode, flag: 'wx' });
    renameSync(temporary, target);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw new TbuildError('auth/unwritable-file', `cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
}
