// Connections to servers: one pool for each origin, through the proxies of the environment, with the certificates that are set for it. Loaded only
// when there is something to fetch; what it opened is closed by whoever made it.

import { getCACertificates } from 'node:tls';
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
  /** Origins at which the system's authorities are believed too. */
  readonly #system = new Set<string>();
  readonly #replaced: Dispatcher[] = [];

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  of(url: URL): Dispatcher {
    const agent = this.#agents.get(url.origin) ?? this.#make(url);
    this.#agents.set(url.origin, agent);
    return agent;
  }

  /**
   * The authorities of the system, as Go's programs and curl believe them (`SSL_CERT_FILE`, `SSL_CERT_DIR`), take longer to read than most requests: that
   * is for when Node's own have not been enough. Whether there is reason to try again; `failed`: what an origin was asked through.
   */
  believeSystem({ origin }: URL, failed: Dispatcher): boolean {
    // Somebody else has asked for it while this one failed.
    if (this.#agents.get(origin) !== failed) return true;
    if (this.#system.has(origin)) return false;
    this.#system.add(origin);
    this.#agents.delete(origin);
    this.#replaced.push(failed);
    return true;
  }

  #make(url: URL): Dispatcher {
    const { connectMs, idleMs } = this.#options;
    const timeouts = { headersTimeout: idleMs, bodyTimeout: idleMs };
    const tls = { timeout: connectMs, ...tlsOptions(this.#certificates(url)) };
    const proxy = proxyFor(url, process.env);
    if (proxy === undefined) return new Agent({ ...timeouts, connect: tls });
    return new ProxyAgent({ ...timeouts, uri: proxy, requestTls: tls, connect: { timeout: connectMs } });
  }

  #certificates({ host, origin }: URL): Certificates {
    const own = this.#options.certificatesOf?.(host) ?? {};
    if (!this.#system.has(origin)) return own;
    return { ...own, ca: [...(own.ca ?? getCACertificates('default')), ...getCACertificates('system')] };
  }

  /** What is still open has been read, or is not wanted. */
  async destroy(): Promise<void> {
    const agents = [...this.#agents.values(), ...this.#replaced.splice(0)];
    this.#agents.clear();
    await Promise.all(agents.map((agent) => agent.destroy()));
  }
}

/** No authority that we believe has signed it: node's codes, as OpenSSL's X509_V_ERR_… are called. */
export function isUnknownAuthority(error: unknown): boolean {
  const { code = '' } = error as NodeJS.ErrnoException;
  return /^(?:UNABLE_TO_|SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|CERT_UNTRUSTED)/.test(code);
}

function tlsOptions({ ca, cert, key, isUnverified }: Certificates) {
  return {
    ...(ca && { ca: [...ca] }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(isUnverified && { rejectUnauthorized: false }),
  };
}
