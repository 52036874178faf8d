// One GET, as a builder on somebody's machine may do it: bounded in time, redirects and tries; through the proxies of the environment; credentials
// for the host they are for and no other, and from https to nowhere but https. Loaded only when there is something to fetch.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Dispatcher, EnvHttpProxyAgent, request } from 'undici';
import { TbuildError } from '../../base/errors.ts';
import { redactUrl } from '../git/url.ts';

export interface HttpLimits {
  readonly connectMs: number;
  /** Without a byte, be it the answer's first. */
  readonly idleMs: number;
  readonly redirects: number;
  readonly tries: number;
  /** Before the second try; then doubled. A server's Retry-After takes its place, up to `retryAfterMaxMs`. */
  readonly backoffMs: number;
  readonly retryAfterMaxMs: number;
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
  const agent = new EnvHttpProxyAgent({
    ...allProxy(),
    connect: { timeout: limits.connectMs },
    headersTimeout: limits.idleMs,
    bodyTimeout: limits.idleMs,
  });
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        return await follow(agent, asked, take);
      } catch (error) {
        signal.throwIfAborted();
        const pauseMs = retryPauseMs(error, attempt, limits);
        if (pauseMs === undefined) throw asFailure(error, asked.url);
        await sleep(pauseMs, undefined, { signal });
      }
    }
  } finally {
    // What is still open has been read, or is not wanted.
    await agent.destroy();
  }
}

/** What undici does not read by itself. */
function allProxy(): { httpProxy?: string; httpsProxy?: string } {
  const { env } = process;
  const all = env.all_proxy || env.ALL_PROXY;
  if (!all) return {};
  return { httpProxy: env.http_proxy || env.HTTP_PROXY || all, httpsProxy: env.https_proxy || env.HTTPS_PROXY || all };
}

const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status);

async function follow<T>(agent: Dispatcher, asked: HttpRequest, take: (response: HttpResponse) => Promise<T>): Promise<T> {
  const { signal, limits } = asked;
  let url = new URL(asked.url);
  let authorization = asked.authorization ?? basicOf(url);
  for (let redirects = 0; ; redirects++) {
    const headers = { ...asked.headers, ...(authorization !== undefined && { authorization }) };
    const { statusCode, headers: received, body } = await request(withoutUser(url), { dispatcher: agent, signal, headers });
    const header = (name: string) => [received[name] ?? []].flat()[0];
    // Errors of a body that nobody reads are nobody's.
    body.on('error', () => {});
    const location = header('location');
    if (isRedirect(statusCode) && location !== undefined) {
      body.destroy();
      if (redirects === limits.redirects) throw httpError(asked.url, `stopped after ${limits.redirects} redirects`);
      const next = nextUrl(url, location, asked.url);
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

function nextUrl(url: URL, location: string, asked: string): URL {
  const next = URL.canParse(location, url.href) ? new URL(location, url) : undefined;
  if (next?.protocol !== 'https:' && next?.protocol !== 'http:') throw httpError(asked, 'redirected to what is no http URL');
  if (url.protocol === 'https:' && next.protocol === 'http:') {
    throw httpError(asked, `redirected from https to http: ${redactUrl(next.href)}`);
  }
  return next;
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

class StatusError extends Error {
  readonly status: number;
  readonly retryAfter: string | undefined;

  constructor(status: number, retryAfter: string | undefined) {
    super(`invalid response status ${status}`);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Undefined: another try would end in the same way. */
function retryPauseMs(error: unknown, attempt: number, limits: HttpLimits): number | undefined {
  if (attempt >= limits.tries || error instanceof TbuildError) return undefined;
  const backoffMs = limits.backoffMs * 2 ** (attempt - 1);
  if (error instanceof StatusError) {
    if (error.status !== 429 && error.status < 500) return undefined;
    return Math.min(readRetryAfterMs(error.retryAfter) ?? backoffMs, limits.retryAfterMaxMs);
  }
  const { code } = error as NodeJS.ErrnoException;
  return code === undefined || !passing.test(code) ? undefined : backoffMs;
}

/** A name that does not resolve, a certificate that does not hold, a full disk stay so. */
const passing = /^(?:ECONN|EPIPE|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|UND_ERR_(?!INVALID|ABORTED))/;

/** Seconds, or a date. */
function readRetryAfterMs(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
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
