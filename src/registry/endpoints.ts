// Where an image's registry is: the hosts to ask, in order, and how far each is to be believed. What users have set (registries.conf, certs.d) is
// read once for a command.

import { TbuildError } from '../base/errors.ts';
import type { Certificates } from '../http/agents.ts';
import { hostOf, isLoopback } from '../http/proxy.ts';
import { formatReference, type Reference } from '../oci/reference.ts';
import { readCertificates } from './certificates.ts';
import { type Mirror, type RegistryTable, readRegistriesConf, relocate, tableFor } from './registries-conf.ts';

export interface Endpoint {
  /** As users call it, and as credentials and certificates are kept under: `docker.io`, `localhost:5000`. */
  readonly registry: string;
  /** What is connected to. */
  readonly host: string;
  /** The repository's path there. */
  readonly path: string;
  /** Certificates that nobody vouches for will do, and where there is no TLS, http. */
  readonly isInsecure: boolean;
  readonly isMirror: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

export class Settings {
  readonly #env: Environment;
  readonly #tables: readonly RegistryTable[];
  readonly #certificates = new Map<string, Certificates | undefined>();

  private constructor(env: Environment, tables: readonly RegistryTable[]) {
    this.#env = env;
    this.#tables = tables;
  }

  static async read(env: Environment): Promise<Settings> {
    return new Settings(env, await readRegistriesConf(env));
  }

  /** Mirrors first, for who pulls: they are not pushed to. Throws `registry/blocked`. */
  endpointsOf(reference: Reference, isPull: boolean): Endpoint[] {
    const { domain, path } = reference;
    const name = formatReference({ domain, path });
    const table = tableFor(this.#tables, name);
    if (table?.isBlocked) {
      throw new TbuildError('registry/blocked', `${name} is blocked by registries.conf, which says so of ${table.prefix}`);
    }
    const own = this.#endpoint(table ? relocate(table, table.location, name) : name, table?.isInsecure, false);
    if (!table || !isPull) return [own];
    const mirrors = table.mirrors.filter((mirror) => serves(mirror, reference));
    return [...mirrors.map(({ location, isInsecure }) => this.#endpoint(relocate(table, location, name), isInsecure, true)), own];
  }

  /** For requests to a host; `isInsecure`: it need not show who it is. */
  certificatesOf(host: string, isInsecure: boolean): Certificates {
    return { ...this.#certificatesOf(host), ...(isInsecure && { isUnverified: true }) };
  }

  #certificatesOf(host: string): Certificates | undefined {
    if (!this.#certificates.has(host))
      this.#certificates.set(host, readCertificates(host === HUB ? 'docker.io' : host, this.#env));
    return this.#certificates.get(host);
  }

  /** Docker trusts 127.0.0.0/8 without TLS; one for which certificates were put there is meant to show its own. */
  #endpoint(name: string, isInsecure: boolean | undefined, isMirror: boolean): Endpoint {
    const slash = name.indexOf('/');
    const [registry, path] = slash < 0 ? [name, ''] : [name.slice(0, slash), name.slice(slash + 1)];
    const host = registry === 'docker.io' ? HUB : registry;
    if (path === '' || !URL.canParse(`https://${host}`)) {
      throw new TbuildError('registry/bad-settings', `registries.conf leads to ${JSON.stringify(name)}, which is no repository`);
    }
    const isLocal = isLoopback(hostOf(new URL(`https://${host}`))) && this.#certificatesOf(host) === undefined;
    return { registry, host, path, isInsecure: isInsecure ?? isLocal, isMirror };
  }
}

/** Docker Hub's registry answers under another name than it is called by. */
const HUB = 'registry-1.docker.io';

function serves({ serves: what }: Mirror, { digest }: Reference): boolean {
  return what === 'all' || (what === 'digest-only') === (digest !== undefined);
}
