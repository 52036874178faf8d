// One GET, as a builder on somebody's machine may do it: bounded in time, redirects and tries; through the proxies of the environment; credentials
// for the host they are for and no other, and from https to nowhere but https. Loaded only when there is something to fetch.

import { setTimeout as sleep } from 'node:timers/promises';
import { TbuildError } from '../../base/errors.ts';
import { Agents } from '../../http/agents.ts';
import { exchange, type HttpResponse } from '../../http/exchange.ts';
import { type Patience, retryPauseMs, StatusError } from '../../http/retry.ts';
import { redactUrl } from '../../http/url.ts';

export interface HttpLimits extends Patience {
  readonly connectMs: number;
  /** Without a byte, be it the answer's first. */
  readonly idleMs: number;
  readonly redirects: number;
  readonly bytes: number;
}

export const httpLimits: HttpLimits = {
  connectMs: 30_000,
  idleMs: 60_000,
  redirects: 10,
  tries: 4,
  backoffMs: 500,
  retryAfterMaxMs: 60_000,
  bytes: 64 * 2 ** 30,
};

export interface HttpRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Value of an Authorization header. */
  readonly authorization: string | undefined;
  readonly signal: AbortSignal;
  readonly limits: HttpLimits;
}

/** `take` is given an answer of 200, or of 304; and another, when the network fails while it reads: what it has is then to be thrown away. */
export async function httpGet<T>(asked: HttpRequest, take: (response: HttpResponse) => Promise<T>): Promise<T> {
  const { limits, signal } = asked;
  const agents = new Agents(limits);
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        return await ask(agents, asked, take);
      } catch (error) {
        signal.throwIfAborted();
        const pauseMs = error instanceof TbuildError ? undefined : retryPauseMs(error, attempt, limits);
        if (pauseMs === undefined) throw asFailure(error, asked.url);
        await sleep(pauseMs, undefined, { signal });
      }
    }
  } finally {
    await agents.destroy();
  }
}

async function ask<T>(agents: Agents, asked: HttpRequest, take: (response: HttpResponse) => Promise<T>): Promise<T> {
  const { url, headers, authorization, signal, limits } = asked;
  const { redirects } = limits;
  const refuse = (why: string) => httpError(url, why);
  const response = await exchange(agents, {
    method: 'GET',
    url: new URL(url),
    headers,
    authorization,
    signal,
    redirects,
    refuse,
  });
  if (response.status === 200 || response.status === 304) return take(response);
  response.body.destroy();
  throw new StatusError(response.status, response.header('retry-after'));
}

function asFailure(error: unknown, url: string): unknown {
  if (error instanceof TbuildError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new TbuildError('store/full', `no space left on the disk while downloading ${redactUrl(url)}`, {
      cause: error,
      hint: 'free some space, or set TBUILD_ROOT to another disk',
    });
  }
  const status = error instanceof StatusError ? error.status : undefined;
  const hint =
    status === 401 || status === 403
      ? `a secret HTTP_AUTH_TOKEN_${new URL(url).hostname} is sent as a bearer token, HTTP_AUTH_HEADER_… as it is`
      : undefined;
  return httpError(url, message || code || 'no answer', error, hint);
}

/** `why` goes to people as it is. */
export function httpError(url: string, why: string, cause?: unknown, hint?: string): TbuildError {
  return new TbuildError('context/http', `cannot download ${redactUrl(url)}: ${why}`, { cause, hint });
}
