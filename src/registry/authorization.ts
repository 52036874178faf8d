// Who we are to one registry: basic credentials, or tokens that a server of its choice gives out for them (distribution: docs/spec/auth/token.md, oauth.md).
// Credentials are looked for when a registry asks for some, not before.

import { TbuildError } from '../base/errors.ts';
import type { Agents } from '../http/agents.ts';
import { basicAuthorization, exchange, type HttpResponse } from '../http/exchange.ts';
import { readRefusal, readText } from './answers.ts';
import { type BearerChallenge, type Challenge, parseChallenge } from './challenge.ts';
import type { Credentials } from './credential-file.ts';
import type { FoundCredentials } from './credentials.ts';
import type { RegistryLimits } from './limits.ts';

export interface Authority {
  readonly agents: Agents;
  readonly signal: AbortSignal;
  readonly limits: RegistryLimits;
  readonly credentials: () => Promise<FoundCredentials>;
}

interface Token {
  readonly header: string;
  readonly expiresMs: number;
}

/** A server that does not say how long a token holds means this (token.md, "expires_in"). */
const DEFAULT_TOKEN_SECONDS = 60;
/** A token is not used in the last moments of its life. */
const MARGIN_MS = 5_000;

export class Authorization {
  readonly #authority: Authority;
  readonly #tokens = new Map<string, Promise<Token>>();
  #challenge: Challenge | undefined;
  #found: Promise<FoundCredentials> | undefined;

  constructor(authority: Authority) {
    this.#authority = authority;
  }

  /** Who has been named to the registry (undefined: nobody), and what stood in the way of naming somebody. */
  async identity(): Promise<{ user: string | undefined; problem: TbuildError | undefined }> {
    const { credentials, problem } = (await this.#found) ?? { credentials: undefined };
    const user = credentials && ('user' in credentials ? credentials.user : 'the owner of a token');
    return { user, problem };
  }

  /** Value of the header for these scopes; undefined: the registry has not asked for anything yet, or there is nothing to tell it. */
  async header(scopes: readonly string[]): Promise<string | undefined> {
    if (this.#challenge?.scheme === 'bearer') return (await this.#token(this.#challenge, scopes)).header;
    if (this.#challenge === undefined) return undefined;
    const credentials = await this.#known();
    return credentials && 'user' in credentials ? basicAuthorization(credentials.user, credentials.password) : undefined;
  }

  /** After a 401 to a request with the header `sent`: whether another may do better. `origin` is who said it. */
  async isAnswerable(response: HttpResponse, sent: string | undefined, scopes: readonly string[]): Promise<boolean> {
    const challenge = parseChallenge(response.header('www-authenticate'));
    if (challenge === undefined) return false;
    if (challenge.scheme === 'bearer') assertRealm(challenge, response.url);
    this.#challenge = challenge;
    if (challenge.scheme === 'bearer') await this.#forget(scopesOf(challenge, scopes).join(' '), sent);
    return (await this.header(scopes)) !== sent;
  }

  /** Of several requests that were refused with the same token, the first fetches another for all. */
  async #forget(key: string, sent: string | undefined): Promise<void> {
    const refused = this.#tokens.get(key);
    if (refused && (await refused).header === sent && this.#tokens.get(key) === refused) this.#tokens.delete(key);
  }

  async #known(): Promise<Credentials | undefined> {
    this.#found ??= this.#authority.credentials();
    return (await this.#found).credentials;
  }

  async #token(challenge: BearerChallenge, wanted: readonly string[]): Promise<Token> {
    const scopes = scopesOf(challenge, wanted);
    const key = scopes.join(' ');
    const known = this.#tokens.get(key);
    if (known && (await known).expiresMs > Date.now() + MARGIN_MS) return known;
    // Another request may have begun to fetch it meanwhile.
    const current = this.#tokens.get(key);
    if (current && current !== known) return current;
    const fetched = this.#fetchToken(challenge, scopes);
    this.#tokens.set(key, fetched);
    fetched.catch(() => this.#tokens.delete(key));
    return fetched;
  }

  async #fetchToken({ realm, service }: BearerChallenge, scopes: readonly string[]): Promise<Token> {
    const credentials = await this.#known();
    if (credentials && 'registryToken' in credentials)
      return { header: `Bearer ${credentials.registryToken}`, expiresMs: Number.POSITIVE_INFINITY };
    const startedMs = Date.now();
    const response =
      credentials && 'identityToken' in credentials
        ? await this.#post(realm, {
            grant_type: 'refresh_token',
            refresh_token: credentials.identityToken,
            service: service ?? '',
            scope: scopes.join(' '),
            client_id: CLIENT,
          })
        : await this.#get(realm, service, scopes, credentials);
    if (response.status !== 200) throw await readRefusal(response);
    const { token, seconds } = parseToken(await readText(response), realm);
    return { header: `Bearer ${token}`, expiresMs: startedMs + seconds * 1000 };
  }

  #get(
    realm: string,
    service: string | undefined,
    scopes: readonly string[],
    credentials: Credentials | undefined,
  ): Promise<HttpResponse> {
    const url = new URL(realm);
    if (service !== undefined) url.searchParams.set('service', service);
    for (const scope of scopes) url.searchParams.append('scope', scope);
    const isUser = credentials && 'user' in credentials;
    if (isUser) url.searchParams.set('account', credentials.user);
    return this.#ask({
      method: 'GET',
      url,
      headers: {},
      authorization: isUser ? basicAuthorization(credentials.user, credentials.password) : undefined,
    });
  }

  #post(realm: string, form: Readonly<Record<string, string>>): Promise<HttpResponse> {
    const body = new URLSearchParams(form).toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return this.#ask({ method: 'POST', url: new URL(realm), headers, authorization: undefined, body: () => body });
  }

  #ask(
    asked: Pick<Parameters<typeof exchange>[1], 'method' | 'url' | 'headers' | 'authorization' | 'body'>,
  ): Promise<HttpResponse> {
    const { agents, signal, limits } = this.#authority;
    const { host } = asked.url;
    const refuse = (why: string) => new TbuildError('registry/bad-answer', `the token server ${host}: ${why}`);
    // A form with a token in it goes nowhere else.
    const redirects = asked.method === 'GET' ? limits.redirects : 0;
    return exchange(agents, { ...asked, headers: { ...asked.headers, 'user-agent': CLIENT }, signal, redirects, refuse });
  }
}

const CLIENT = 'tbuild';

/** What is wanted here, and what the registry says the refused request would have needed. */
function scopesOf({ scope }: BearerChallenge, wanted: readonly string[]): string[] {
  if (wanted.length > 0) return [...wanted];
  return scope === undefined || scope === '' ? [] : scope.split(' ');
}

/** Whoever may say where credentials are sent could send them anywhere; in the clear they go only to where the registry itself is spoken to in the clear. */
function assertRealm({ realm }: BearerChallenge, from: URL): void {
  const url = URL.canParse(realm) ? new URL(realm) : undefined;
  const isHttp = url?.protocol === 'http:' && from.protocol === 'http:';
  if (url?.protocol === 'https:' || isHttp) return;
  throw new TbuildError(
    'registry/bad-answer',
    `${from.host} names a token server that is not asked: ${JSON.stringify(realm.slice(0, 200))}`,
    {
      hint: 'it is no https URL',
    },
  );
}

function parseToken(text: string, realm: string): { token: string; seconds: number } {
  const bad = (why: string) => new TbuildError('registry/bad-answer', `the token server ${new URL(realm).host} ${why}`);
  let members: Record<string, unknown>;
  try {
    members = JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw bad('does not answer with JSON');
  }
  const token = members?.token || members?.access_token;
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) throw bad('gives no token');
  const seconds = members.expires_in;
  return {
    token,
    seconds: typeof seconds === 'number' && seconds > 0 ? Math.max(seconds, DEFAULT_TOKEN_SECONDS) : DEFAULT_TOKEN_SECONDS,
  };
}
