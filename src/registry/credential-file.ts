// Files with credentials: docker's config.json and podman's auth.json, which have the same form. Nothing of what is in them is ever in a message.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TbuildError } from '../base/errors.ts';
import { asMembers, asRecord, asString, optional } from '../oci/document.ts';

export type Credentials =
  | { readonly user: string; readonly password: string }
  /** What a token server takes for a user, and gives tokens for. */
  | { readonly identityToken: string }
  /** A token for the registry itself. */
  | { readonly registryToken: string };

type Environment = Readonly<Record<string, string | undefined>>;

/** Where they may be, the first that has some counts. `login` writes to the first. */
export function credentialFiles(env: Environment): string[] {
  if (env.REGISTRY_AUTH_FILE) return [env.REGISTRY_AUTH_FILE];
  const { HOME: home, DOCKER_CONFIG: docker, XDG_RUNTIME_DIR: runtime } = env;
  return [
    ...(docker ? [join(docker, 'config.json')] : home ? [join(home, '.docker/config.json')] : []),
    ...(runtime ? [join(runtime, 'containers/auth.json')] : []),
    ...(home ? [join(home, '.config/containers/auth.json')] : []),
  ];
}

export interface CredentialFile {
  readonly path: string;
  /** Helpers by registry. */
  readonly credHelpers: Readonly<Record<string, string>>;
  /** The helper of all others. */
  readonly credsStore: string | undefined;
  /** By registry, by a URL of it, or by a part of it. */
  readonly auths: ReadonlyMap<string, unknown>;
}

export function readCredentialFile(path: string): CredentialFile {
  return reading(path, () => {
    const text = readFileSync(path, 'utf8');
    const members = asMembers(text.trim() === '' ? {} : JSON.parse(text), path);
    return {
      path,
      credHelpers: optional(members, 'credHelpers', path, (map, where) => asRecord(map, where, asString)) ?? {},
      credsStore: optional(members, 'credsStore', path, asString) || undefined,
      auths: optional(members, 'auths', path, asMembers) ?? new Map(),
    };
  });
}

function reading<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    // What the parser says may quote what it could not read.
    const why =
      cause instanceof TbuildError
        ? cause.message
        : `cannot read ${path}: ${cause instanceof SyntaxError ? 'it is not JSON' : (cause as Error).message}`;
    throw new TbuildError('auth/bad-file', why, { hint: 'repair it, or remove it and log in again' });
  }
}

export function helperFor({ credHelpers, credsStore }: CredentialFile, registry: string): string | undefined {
  const own = Object.keys(credHelpers).find((key) => registryOf(key) === registry);
  return own === undefined ? credsStore : credHelpers[own] || undefined;
}

/** What docker keeps Docker Hub's under, in files and helpers alike. */
const HUB_SERVER = 'https://index.docker.io/v1/';

export const serverOf = (registry: string): string => (registry === 'docker.io' ? HUB_SERVER : registry);

/** Of a key as docker and podman write them: `https://index.docker.io/v1/`, `quay.io`, `https://host:5000`, `quay.io/org`. */
export function registryOf(key: string): string {
  const host = key.replace(/^https?:\/\//, '').replace(/\/.*$/s, '');
  return host === 'index.docker.io' || host === 'registry-1.docker.io' ? 'docker.io' : host;
}

/** The longest key that covers the name. */
export function storedCredentials({ auths, path }: CredentialFile, name: string): Credentials | undefined {
  const [registry = ''] = name.split('/', 1);
  const fitting = [...auths.keys()].filter((key) => name === key || name.startsWith(`${key}/`) || isWhole(key, registry));
  const [key] = fitting.sort((a, b) => b.length - a.length);
  return key === undefined ? undefined : reading(path, () => readEntry(auths.get(key), `${path}, the entry of ${key}`));
}

/** Docker's keys are of a whole registry, whatever path they have; podman's have no scheme. */
function isWhole(key: string, registry: string): boolean {
  const isUrl = /^https?:\/\//.test(key) || /^[^/]+(\/v[12]\/?)?$/.test(key);
  return isUrl && registryOf(key) === registry;
}

function readEntry(value: unknown, where: string): Credentials | undefined {
  const members = asMembers(value, where);
  const read = (key: string) => optional(members, key, where, asString) || undefined;
  const [registryToken, identityToken] = [read('registrytoken'), read('identitytoken')];
  if (registryToken !== undefined) return { registryToken };
  if (identityToken !== undefined) return { identityToken };
  const pair = Buffer.from(read('auth') ?? '', 'base64')
    .toString()
    .replace(/\0+$/, '');
  const colon = pair.indexOf(':');
  const user = colon < 0 ? read('username') : pair.slice(0, colon);
  const password = colon < 0 ? read('password') : pair.slice(colon + 1);
  return user === undefined || user === '' || password === undefined ? undefined : { user, password };
}
