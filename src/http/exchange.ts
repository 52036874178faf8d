// One request and its answer, redirects followed: credentials go to the host they are for and no other, and from https nothing leads to http.
// Whatever the status, it is an answer.

import { type Dispatcher, request } from 'undici';
import { type Agents, isUnknownAuthority } from './agents.ts';
import { isRedirect, redirectTarget } from './url.ts';

export interface Exchange {
  readonly method: Dispatcher.HttpMethod;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Value of an Authorization header; unset: what the URL says of a user. */
  readonly authorization: string | undefined;
  /** Made anew for each place that a redirect leads to. */
  readonly body?: () => NonNullable<Dispatcher.DispatchOptions['body']>;
  readonly signal: AbortSignal;
  /** At most. */
  readonly redirects: number;
  /** The error of a redirect that is not followed. */
  readonly refuse: (why: string) => Error;
}

export interface HttpResponse {
  readonly status: number;
  readonly header: (name: string) => string | undefined;
  readonly body: Dispatcher.ResponseData['body'];
  /** Who answered. */
  readonly url: URL;
}

/** Of a body that is read slower than it comes. */
const READ_AHEAD_BYTES = 512 << 10;

export async function exchange(agents: Agents, asked: Exchange): Promise<HttpResponse> {
  const { method, signal, refuse } = asked;
  let { url } = asked;
  let authorization = asked.authorization ?? basicOf(url);
  for (let redirects = 0; ; redirects++) {
    const headers = { ...asked.headers, ...(authorization !== undefined && { authorization }) };
    const {
      statusCode: status,
      headers: received,
      body,
    } = await believing(agents, url, (dispatcher) => {
      const more = { dispatcher, method, signal, headers, highWaterMark: READ_AHEAD_BYTES };
      return request(withoutUser(url), { ...more, ...(asked.body && { body: asked.body() }) });
    });
    const header = (name: string) => [received[name] ?? []].flat()[0];
    // Errors of a body that nobody reads are nobody's.
    body.on('error', () => {});
    const location = header('location');
    if (!isRedirect(status) || location === undefined) return { status, header, body, url };
    body.destroy();
    if (redirects === asked.redirects) throw refuse(`stopped after ${asked.redirects} redirects`);
    const next = redirectTarget(url, location, refuse);
    if (next.origin !== url.origin) authorization = undefined;
    url = next;
  }
}

/** Nothing has been sent to somebody who is not believed: it can be asked anew. */
async function believing<T>(agents: Agents, url: URL, send: (dispatcher: Dispatcher) => Promise<T>): Promise<T> {
  for (;;) {
    const dispatcher = agents.of(url);
    try {
      return await send(dispatcher);
    } catch (error) {
      if (!isUnknownAuthority(error) || !agents.believeSystem(url, dispatcher)) throw error;
    }
  }
}

function basicOf({ username, password }: URL): string | undefined {
  if (username === '' && password === '') return undefined;
  return basicAuthorization(decodeURIComponent(username), decodeURIComponent(password));
}

export function basicAuthorization(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

function withoutUser(url: URL): URL {
  const bare = new URL(url);
  bare.username = '';
  bare.password = '';
  bare.hash = '';
  return bare;
}
