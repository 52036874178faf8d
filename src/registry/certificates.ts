// Certificates for one registry, as docker and podman keep them: certs.d/<host>/ with authorities in *.crt, and a client's in *.cert with *.key.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { getCACertificates } from 'node:tls';
import { TbuildError } from '../base/errors.ts';
import type { Certificates } from '../http/agents.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The first that there is. A user's own go before the machine's. */
function folderOf(host: string, env: Environment): string | undefined {
  const user = env.HOME ? [join(env.HOME, '.config/containers/certs.d'), join(env.HOME, '.config/docker/certs.d')] : [];
  return [...user, '/etc/containers/certs.d', '/etc/docker/certs.d']
    .map((folder) => join(folder, host))
    .find((folder) => existsSync(folder));
}

/** Undefined: the registry has none of its own. Throws `registry/bad-settings`. */
export function readCertificates(host: string, env: Environment): Certificates | undefined {
  const folder = folderOf(host, env);
  if (folder === undefined) return undefined;
  const names = readdirSync(folder).sort();
  const read = (name: string) => readFileSync(join(folder, name), 'utf8');
  const authorities = names.filter((name) => name.endsWith('.crt')).map(read);
  const [certificate] = names.filter((name) => name.endsWith('.cert'));
  const key = certificate?.replace(/\.cert$/, '.key');
  if (key !== undefined && !names.includes(key)) {
    throw new TbuildError(
      'registry/bad-settings',
      `${join(folder, certificate as string)} has no key: ${key} is missing beside it`,
    );
  }
  return {
    // As docker, which adds them to those that it trusts anyway.
    ...(authorities.length > 0 && { ca: [...getCACertificates('default'), ...authorities] }),
    ...(certificate !== undefined && key !== undefined && { cert: read(certificate), key: read(key) }),
  };
}
