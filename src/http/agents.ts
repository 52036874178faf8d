// Connections to servers: one pool for each origin, through the proxies of the environment, with the certificates that are set for it. Loaded only
// when there is something to fetch; what it opened is closed by whoever made it.

import { Agent, type Dispatcher, ProxyAgent } from 'undici';
import { proxyFor } from './proxy.ts';

/** Whom to believe, and who we are. */
export interface Certificates {
  /** PEM. In place of those that Node trusts where there are some. */
  readonly ca?: readonly string[];
  readonly cert?: string;
  readonly key?: string;
  /** Anyone who answers is believed. */
  readonly isUnverified?: boolean;
}

export interface AgentOptions {
  readonly connectMs: number;
  /** Without a byte, be it the answer's first. */
  readonly idleMs: number;
  readonly certificatesOf?: (host: string) => Certificates;
}

export class Agents {
  readonly #options: AgentOptions;
  readonly #agents = new Map<string, Dispatcher>();

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  of(url: URL): Dispatcher {
    const agent = this.#agents.get(url.origin) ?? this.#make(url);
    this.#agents.set(url.origin, agent);
    return agent;
  }

  #make(url: URL): Dispatcher {
    const { connectMs, idleMs, certificatesOf } = this.#options;
    const timeouts = { headersTimeout: idleMs, bodyTimeout: idleMs };
    const tls = { timeout: connectMs, ...tlsOptions(certificatesOf?.(url.host) ?? {}) };
    const proxy = proxyFor(url, process.env);
    if (proxy === undefined) return new Agent({ ...timeouts, connect: tls });
    return new ProxyAgent({ ...timeouts, uri: proxy, requestTls: tls, connect: { timeout: connectMs } });
  }

  /** What is still open has been read, or is not wanted. */
  async destroy(): Promise<void> {
    const agents = [...this.#agents.values()];
    this.#agents.clear();
    await Promise.all(agents.map((agent) => agent.destroy()));
  }
}

function tlsOptions({ ca, cert, key, isUnverified }: Certificates) {
  return {
    ...(ca && { ca: [...ca] }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(isUnverified && { rejectUnauthorized: false }),
  };
}
