// One registry as it is spoken to: https, or http where that was found out and is allowed; asked again where a failure may pass; answered where it
// asks who is there. Everything that goes to a registry goes through `send`.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Dispatcher } from 'undici';
import { TbuildError } from '../base/errors.ts';
import { type Exchange, exchange, type HttpResponse } from '../http/exchange.ts';
import { readRetryAfterMs, retryPauseMs } from '../http/retry.ts';
import { readRefusal } from './answers.ts';
import { type Authority, Authorization } from './authorization.ts';
import type { Endpoint } from './endpoints.ts';
import { explainFailure, isQuota, Refusal } from './failure.ts';
import type { RegistryLimits } from './limits.ts';

export interface Asked {
  readonly method: Dispatcher.HttpMethod;
  /** `/v2/…`, or a whole URL that the registry gave. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Made anew for each try. */
  readonly body?: NonNullable<Exchange['body']>;
  /** The answers that are none of failure. */
  readonly statuses: readonly number[];
  /** What a token must be for: `repository:library/debian:pull`. */
  readonly scopes: readonly string[];
  /** What messages call that which is asked for. */
  readonly subject: string;
  /** Not tried again. */
  readonly isOnce?: boolean;
}

/** Nobody is there: as long as nobody ever was, that is how it is. */
const isAbsence = (error: unknown): boolean =>
  ['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT'].includes(
    (error as NodeJS.ErrnoException).code ?? '',
  );

/** What failures are told of. */
export type Subject = Pick<Asked, 'subject' | 'scopes' | 'isOnce'>;

export class Connection {
  readonly endpoint: Endpoint;
  readonly #authority: Authority;
  readonly #authorization: Authorization;
  #origin: Promise<string> | undefined;
  /** It was there: what fails from now on may pass. */
  #hasAnswered = false;

  constructor(endpoint: Endpoint, authority: Authority) {
    this.endpoint = endpoint;
    this.#authority = authority;
    this.#authorization = new Authorization(authority);
  }

  get limits(): RegistryLimits {
    return this.#authority.limits;
  }

  /** The body is the caller's to read or to destroy. Throws `registry/…` and `auth/…`. */
  send(asked: Asked): Promise<HttpResponse> {
    return this.persist(asked, () => this.once(asked));
  }

  /** Does `work` until it is done, or fails in a way that another try would not mend. It says with `hasMoved` that this try has brought it further. */
  async persist<T>(asked: Subject, work: (hasMoved: () => void) => Promise<T>): Promise<T> {
    const { signal } = this.#authority;
    let attempt = 0;
    const hasMoved = () => {
      attempt = 1;
    };
    for (;;) {
      attempt++;
      try {
        return await work(hasMoved);
      } catch (error) {
        signal.throwIfAborted();
        const pauseMs = asked.isOnce ? undefined : this.pauseMs(error, attempt);
        if (pauseMs === undefined) throw await this.explain(error, asked);
        await sleep(pauseMs, undefined, { signal });
      }
    }
  }

  /** How long to wait before another try; undefined: it would end in the same way. */
  pauseMs(error: unknown, attempt: number): number | undefined {
    const { limits } = this.#authority;
    if (error instanceof TbuildError || isQuota(error)) return undefined;
    if (!this.#hasAnswered && isAbsence(error)) return undefined;
    const isPatient = !(error instanceof Refusal) || (readRetryAfterMs(error.retryAfter) ?? 0) <= limits.retryAfterMaxMs;
    return isPatient ? retryPauseMs(error, attempt, limits) : undefined;
  }

  async explain(error: unknown, { subject, scopes }: Subject): Promise<unknown> {
    const identity = await this.#authorization.identity();
    const action = scopes.length === 0 ? 'login' : scopes.some((scope) => scope.includes('push')) ? 'push' : 'pull';
    return explainFailure(error, { subject, registry: this.endpoint.registry, action, wasThere: this.#hasAnswered, ...identity });
  }

  /** A single try. Throws what `persist` knows to judge: refusals, and errors of the network. */
  async once(asked: Asked): Promise<HttpResponse> {
    const origin = await this.#knownOrigin();
    const url = new URL(asked.path, origin);
    // A place that the registry named may be another's: whoever is there is told nothing.
    const isOwn = url.origin === origin;
    const authorization = isOwn ? await this.#authorization.header(asked.scopes) : undefined;
    const first = await this.#exchange(asked, url, authorization);
    this.#hasAnswered = true;
    const isAsked = first.status === 401 && isOwn && first.url.origin === origin;
    const again = isAsked && (await this.#authorization.isAnswerable(first, authorization, asked.scopes));
    if (again) first.body.destroy();
    const response = again ? await this.#exchange(asked, url, await this.#authorization.header(asked.scopes)) : first;
    if (asked.statuses.includes(response.status)) return response;
    throw await readRefusal(response);
  }

  #exchange({ method, headers, body, subject }: Asked, url: URL, authorization: string | undefined): Promise<HttpResponse> {
    const { agents, signal, limits } = this.#authority;
    const refuse = (why: string) => new TbuildError('registry/bad-answer', `${subject}: ${this.endpoint.registry} ${why}`);
    const all = { 'user-agent': 'tbuild', 'accept-encoding': 'identity', ...headers };
    const { redirects } = limits;
    return exchange(agents, { method, url, headers: all, authorization, signal, redirects, refuse, ...(body && { body }) });
  }

  #knownOrigin(): Promise<string> {
    this.#origin ??= this.#findOrigin();
    return this.#origin;
  }

  /** Docker's order for those that may do without TLS: https first, http when nothing there speaks it. No credentials are sent before. */
  async #findOrigin(): Promise<string> {
    const { host, isInsecure } = this.endpoint;
    // In the form in which origins are compared.
    const secure = new URL(`https://${host}`).origin;
    if (!isInsecure) return secure;
    const { agents, signal } = this.#authority;
    const refuse = (why: string) => new TbuildError('registry/bad-answer', `${host} ${why}`);
    const url = new URL('/v2/', secure);
    try {
      const { body } = await exchange(agents, {
        method: 'GET',
        url,
        headers: {},
        authorization: undefined,
        signal,
        redirects: 0,
        refuse,
      });
      body.destroy();
      return secure;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof TbuildError) return secure;
      return new URL(`http://${host}`).origin;
    }
  }
}
