// Where a Docker or a podman may be listening: what the environment names, else the sockets that they have by default. Looks, and asks nobody.

import { readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { TbuildError } from '../base/errors.ts';
import { redactUrl } from './url.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface EnginePlace {
  /** What messages call it. */
  readonly address: string;
  /** Where requests go; over the socket, if there is one. */
  readonly origin: string;
  readonly socketPath?: string;
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
  /** The user named it: then it must be there. */
  readonly isNamed: boolean;
}

/** DOCKER_HOST or CONTAINER_HOST alone, else the sockets that docker and podman have by default, docker's first. */
export function enginePlaces(env: Environment): EnginePlace[] {
  const named = env.DOCKER_HOST || env.CONTAINER_HOST;
  if (named) return [namedPlace(named, env)];
  const runtime = env.XDG_RUNTIME_DIR;
  const sockets = ['/var/run/docker.sock'];
  if (runtime) sockets.push(join(runtime, 'docker.sock'), join(runtime, 'podman/podman.sock'));
  if (process.getuid?.() === 0) sockets.push('/run/podman/podman.sock');
  return sockets.filter(isSocket).map((path) => socketPlace(path, false));
}

function isSocket(path: string): boolean {
  try {
    return statSync(path).isSocket();
  } catch {
    return false;
  }
}

function socketPlace(path: string, isNamed: boolean): EnginePlace {
  return { address: `unix://${path}`, origin: 'http://localhost', socketPath: path, isNamed };
}

/** docker's opts/hosts.go and cli/context/docker: TLS is asked for by DOCKER_TLS_VERIFY, with the files of DOCKER_CERT_PATH. */
function namedPlace(text: string, env: Environment): EnginePlace {
  if (text.startsWith('unix://')) return socketPlace(text.slice('unix://'.length), true);
  const [, host] = /^(?:tcp|https?):\/\/([^/@]+)\/?$/.exec(text) ?? [];
  if (host === undefined || !URL.canParse(`http://${host}`)) {
    throw new TbuildError('unsupported/engine', `no Docker can be asked at ${redactUrl(text)}`, {
      hint: 'DOCKER_HOST is unix:///PATH or tcp://HOST:PORT here',
    });
  }
  const isSecure = text.startsWith('https://') || Boolean(env.DOCKER_TLS_VERIFY);
  const folder = env.DOCKER_CERT_PATH || join(env.HOME || homedir(), '.docker');
  const port = /:\d+$/.test(host) ? '' : isSecure ? ':2376' : ':2375';
  const origin = `${isSecure ? 'https' : 'http'}://${host}${port}`;
  if (!isSecure) return { address: text, origin, isNamed: true };
  const tls = { ca: pem(folder, 'ca'), cert: pem(folder, 'cert'), key: pem(folder, 'key') };
  return { address: text, origin, tls, isNamed: true };
}

function pem(folder: string, name: string): string {
  const path = join(folder, `${name}.pem`);
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new TbuildError('usage/unreadable-file', `cannot read the certificate ${path}`, {
      cause,
      hint: 'DOCKER_TLS_VERIFY is set: DOCKER_CERT_PATH is where ca.pem, cert.pem and key.pem are',
    });
  }
}
