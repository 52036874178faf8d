// One GET, as a builder on somebody's machine may do it: bounded in time, redirects and tries; through the proxies of the environment; credentials
// for the host they are for and no other, and from https to nowhere but https. Loaded only when there is something to fetch.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Dispatcher, request } from 'undici';
import { TbuildError } from '../../base/errors.ts';
import { Agents } from '../../http/agents.ts';
import { type Patience, retryPauseMs, StatusError } from '../../http/retry.ts';
import { isRedirect, redactUrl, redirectTarget } from '../../http/url.ts';

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

export interface HttpResponse {
  readonly status: number;
  readonly header: (name: string) => string | undefined;
  readonly body: Dispatcher.ResponseData['body'];
}

/** `take` is given an answer of 200, or of 304; and another, when the network fails while it reads: what it has is then to be thrown away. */
export async function httpGet<T>(asked: HttpRequest, take: (response: HttpResponse) => Promise<T>): Promise<T> {
  const { limits, signal } = asked;
  const agents = new Agents(limits);
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        return await follow(agents, asked, take);
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

async function follow<T>(agents: Agents, asked: HttpRequest, take: (response: HttpResponse) => Promise<T>): Promise<T> {
  const { signal, limits } = asked;
  let url = new URL(asked.url);
  let authorization = asked.authorization ?? basicOf(url);
  for (let redirects = 0; ; redirects++) {
    const headers = { ...asked.headers, ...(authorization !== undefined && { authorization }) };
    const options = { dispatcher: agents.of(url), signal, headers };
    const { statusCode, headers: received, body } = await request(withoutUser(url), options);
    const header = (name: string) => [received[name] ?? []].flat()[0];
    // Errors of a body that nobody reads are nobody's.
    body.on('error', () => {});
    const location = header('location');
    if (isRedirect(statusCode) && location !== undefined) {
      body.destroy();
      if (redirects === limits.redirects) throw httpError(asked.url, `stopped after ${limits.redirects} redirects`);
      const next = redirectTarget(url, location, (why) => httpError(asked.url, why));
      if (next.origin !== url.origin) authorization = undefined;
      url = next;
      continue;
    }
    if (statusCode !== 200 && statusCode !== 304) {
      body.destroy();
      throw new StatusError(statusCode, header('retry-after'));
    }
    return take({ status: statusCode, header, body });
  }
}

function basicOf({ username, password }: URL): string | undefined {
  if (username === '' && password === '') return undefined;
  return `Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64')}`;
}

function withoutUser(url: URL): URL {
  const bare = new URL(url);
  bare.username = '';
  bare.password = '';
  bare.hash = '';
  return bare;
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
