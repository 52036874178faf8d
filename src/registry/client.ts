// The client of registries (distribution-spec 1.1). One client is one command's: it remembers connections and tokens, and is closed.

import { Agents } from '../http/agents.ts';
import type { Reference } from '../oci/reference.ts';
import { Connection } from './connection.ts';
import { endpointsOf } from './endpoints.ts';
import { type RegistryLimits, registryLimits } from './limits.ts';
import { Repository } from './repository.ts';

export interface ClientOptions {
  readonly signal: AbortSignal;
  readonly limits?: Partial<RegistryLimits>;
}

export interface OpenOptions {
  readonly actions: readonly ('pull' | 'push')[];
}

export class RegistryClient {
  readonly #options: ClientOptions;
  readonly #limits: RegistryLimits;
  readonly #agents: Agents;
  readonly #connections = new Map<string, Connection>();

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#limits = { ...registryLimits, ...options.limits };
    this.#agents = new Agents(this.#limits);
  }

  /** Of a reference its repository counts; nothing is asked yet. */
  open(reference: Reference, { actions }: OpenOptions): Repository {
    const places = endpointsOf(reference).map((endpoint) => ({ connection: this.#connect(endpoint), path: endpoint.path }));
    return new Repository(reference, places, actions, this.#options.signal);
  }

  #connect(endpoint: Connection['endpoint']): Connection {
    const known = this.#connections.get(endpoint.host);
    if (known) return known;
    const authority = {
      agents: this.#agents,
      signal: this.#options.signal,
      limits: this.#limits,
      credentials: async () => undefined,
    };
    const made = new Connection(endpoint, authority);
    this.#connections.set(endpoint.host, made);
    return made;
  }

  async close(): Promise<void> {
    await this.#agents.destroy();
  }
}
