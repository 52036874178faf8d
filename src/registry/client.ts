// The client of registries (distribution-spec 1.1). One client is one command's: it reads what users have set, remembers connections and tokens, and
// is closed. `open` gives a repository: see repository.ts for what can be asked of it.

import { Agents } from '../http/agents.ts';
import type { HttpResponse } from '../http/exchange.ts';
import type { Reference } from '../oci/reference.ts';
import { type Asked, Connection } from './connection.ts';
import type { Credentials } from './credential-file.ts';
import { findCredentials } from './credentials.ts';
import { type Endpoint, Settings } from './endpoints.ts';
import { type RegistryLimits, registryLimits } from './limits.ts';
import { Repository } from './repository.ts';

export interface ClientOptions {
  readonly signal: AbortSignal;
  readonly limits?: Partial<RegistryLimits>;
  /** Unset: the process's own. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface OpenOptions {
  /** What tokens are asked for. Mirrors are not pushed to. */
  readonly actions: readonly ('pull' | 'push' | 'delete')[];
}

export class RegistryClient {
  readonly #options: ClientOptions;
  readonly #limits: RegistryLimits;
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #agents: Agents;
  readonly #connections = new Map<string, Connection>();
  /** Hosts that need not show who they are. */
  readonly #insecure = new Set<string>();
  #settings: Settings | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#limits = { ...registryLimits, ...options.limits };
    this.#env = options.env ?? process.env;
    const certificatesOf = (host: string) => this.#settings?.certificatesOf(host, this.#insecure.has(host)) ?? {};
    this.#agents = new Agents({ ...this.#limits, certificatesOf });
  }

  /** Of a reference its repository counts, and for mirrors whether it has a digest. No registry is asked yet. */
  async open(reference: Reference, { actions }: OpenOptions): Promise<Repository> {
    this.#settings ??= await Settings.read(this.#env);
    const isPull = actions.every((action) => action === 'pull');
    const places = this.#settings
      .endpointsOf(reference, isPull)
      .map((endpoint) => ({ connection: this.#connect(endpoint), path: endpoint.path }));
    return new Repository(reference, places, actions, this.#options.signal);
  }

  /** Whether a registry takes credentials; unset: those that are known. Throws `auth/unauthorized`. */
  async checkLogin(registry: string, credentials: Credentials | undefined): Promise<void> {
    const subject = `the login to ${registry}`;
    const asked = { method: 'GET', path: '/v2/', statuses: [200], scopes: [], subject } as const;
    const response = await this.ask(registry, asked, credentials);
    response.body.destroy();
  }

  /** Of a registry itself, none of its repositories. `credentials` unset: those that are known. */
  async ask(registry: string, asked: Asked, credentials?: Credentials): Promise<HttpResponse> {
    this.#settings ??= await Settings.read(this.#env);
    const [endpoint] = this.#settings.endpointsOf({ domain: registry, path: '-' }, false);
    return this.#connect(endpoint as Endpoint, credentials).send(asked);
  }

  #connect(endpoint: Endpoint, given?: Credentials): Connection {
    const { registry, path, host, isInsecure } = endpoint;
    // Credentials may be for a part of a registry.
    const key = `${registry}/${path}`;
    const known = this.#connections.get(key);
    if (known) return known;
    if (isInsecure) this.#insecure.add(host);
    const { signal } = this.#options;
    const credentials = async () => (given ? { credentials: given } : findCredentials(key, this.#env, signal));
    const made = new Connection(endpoint, { agents: this.#agents, signal, limits: this.#limits, credentials });
    this.#connections.set(key, made);
    return made;
  }

  async close(): Promise<void> {
    await this.#agents.destroy();
  }
}
