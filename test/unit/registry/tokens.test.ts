// Tokens: asked for where the registry says, once for a repository, with what is known of the user, and never given to anyone else.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MockAgent } from 'undici';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseReference } from '../../../src/oci/reference.ts';
import { RegistryClient } from '../../../src/registry/client.ts';
import { registryLimits } from '../../../src/registry/limits.ts';
import { digestOf } from '../../support/archives.ts';
import { type Act, type FaultyRegistry, say, serveFaulty, status } from '../../support/faulty-registry.ts';

const home = mkdtempSync(path.join(tmpdir(), 'tbuild-tokens-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

let registry: FaultyRegistry;
/** What the token server was asked. */
let asked: { url: string; authorization: string | undefined; body: string }[];
let validTokens: Set<string>;

beforeAll(async () => {
  registry = await serveFaulty();
  const bytes = Buffer.from('{"schemaVersion":2,"manifests":[]}');
  for (const name of ['1', '2', digestOf(bytes)]) {
    registry.contents.set(`/v2/team/app/manifests/${name}`, { bytes, mediaType: 'application/vnd.oci.image.index.v1+json' });
  }
});

beforeEach(() => {
  rmSync(path.join(home, '.docker'), { recursive: true, force: true });
  asked = [];
  validTokens = new Set();
  arrange(giveToken());
});

function arrange(tokens: Act, realm = `http://${registry.host}/token`): void {
  const challenge = { 'www-authenticate': `Bearer realm="${realm}",service="here",scope="repository:team/app:pull"` };
  const guard: Act = (request, response, answer) => {
    const token = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1];
    if (token !== undefined && validTokens.has(token)) answer();
    else status(401, { code: 'UNAUTHORIZED', message: 'authentication required' }, challenge)(request, response, answer);
  };
  registry.setFaults({ on: / \/token/, act: tokens }, { on: / \/v2\/team/, act: guard });
}

function giveToken(members: (token: string) => object = (token) => ({ token }), isValid = true): Act {
  return (request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      asked.push({ url: request.url as string, authorization: request.headers.authorization, body });
      const token = `token-${asked.length}`;
      if (isValid) validTokens.add(token);
      response.end(JSON.stringify(members(token)));
    });
  };
}

function know(entry: object): void {
  mkdirSync(path.join(home, '.docker'), { recursive: true });
  writeFileSync(path.join(home, '.docker/config.json'), JSON.stringify({ auths: { [registry.host]: entry } }));
}

async function withRepository<T>(act: (repository: Awaited<ReturnType<RegistryClient['open']>>) => Promise<T>): Promise<T> {
  const limits = { backoffMs: 5, tries: 2 };
  const client = new RegistryClient({ signal: new AbortController().signal, env: { HOME: home }, limits });
  try {
    return await act(await client.open(parseReference(`${registry.host}/team/app`), { actions: ['pull'] }));
  } finally {
    await client.close();
  }
}

const fetch = () => withRepository((repository) => repository.fetchManifest('1'));

const basic = `Basic ${Buffer.from('ada:word').toString('base64')}`;
const query = '/token?service=here&scope=repository%3Ateam%2Fapp%3Apull';

it('for nobody', async () => {
  await fetch();
  expect(asked).toEqual([{ url: query, authorization: undefined, body: '' }]);
});

it('for a user', async () => {
  know({ auth: Buffer.from('ada:word').toString('base64') });
  await fetch();
  expect(asked).toEqual([{ url: `${query}&account=ada`, authorization: basic, body: '' }]);
  const toRegistry = registry.headers.filter((headers: IncomingMessage['headers']) => headers.authorization === basic);
  expect(toRegistry).toHaveLength(1);
});

it('for an identity token, which is not in a URL', async () => {
  know({ auth: Buffer.from('ada:').toString('base64'), identitytoken: 'refresh/me' });
  await fetch();
  expect(asked[0]?.url).toBe('/token');
  expect(Object.fromEntries(new URLSearchParams(asked[0]?.body))).toEqual({
    grant_type: 'refresh_token',
    refresh_token: 'refresh/me',
    service: 'here',
    scope: 'repository:team/app:pull',
    client_id: 'tbuild',
  });
});

it('that the file has is sent as it is', async () => {
  know({ registrytoken: 'mine' });
  validTokens.add('mine');
  await fetch();
  expect(asked).toEqual([]);
});

it('is asked for once, however much is fetched', async () => {
  await withRepository(async (repository) => {
    await repository.fetchManifest('1');
    await Promise.all(['1', '2', '1', '2'].map((tag) => repository.fetchManifest(tag)));
  });
  expect(asked).toHaveLength(1);
});

it('that is refused before its time is asked for once more, by one of many', async () => {
  await withRepository(async (repository) => {
    await repository.fetchManifest('1');
    validTokens.clear();
    await Promise.all(['1', '2', '1', '2'].map((tag) => repository.fetchManifest(tag)));
  });
  expect(asked).toHaveLength(2);
});

it('that is about to end is not used', async () => {
  arrange(giveToken((access_token) => ({ access_token, expires_in: 3600 })));
  const { now } = Date;
  try {
    await withRepository(async (repository) => {
      await repository.fetchManifest('1');
      Date.now = () => now() + 3_596_000;
      await repository.fetchManifest('1');
    });
  } finally {
    Date.now = now;
  }
  expect(asked).toHaveLength(2);
});

describe('a server that', () => {
  it.each<readonly [string, () => void, string]>([
    [
      'does not know the user',
      () => arrange(status(401, { code: 'UNAUTHORIZED', message: 'incorrect username or password' })),
      'auth/unauthorized: HOST/team/app:1: pull access denied, repository does not exist or may require authorization: server message: unauthorized: incorrect username or password',
    ],
    [
      'gives tokens that are not taken',
      () => arrange(giveToken((token) => ({ token }), false)),
      'auth/unauthorized: HOST/team/app:1: pull access denied, repository does not exist or may require authorization: server message: unauthorized: authentication required',
    ],
    ['gives none', () => arrange(say('{}')), 'registry/bad-answer: the token server HOST gives no token'],
    [
      'gives one with a line in it',
      () => arrange(say('{"token":"a\\r\\nx: y"}')),
      'registry/bad-answer: the token server HOST gives no token',
    ],
    ['answers with a page', () => arrange(say('<html>')), 'registry/bad-answer: the token server HOST does not answer with JSON'],
    [
      'has no end',
      () => arrange(say(Buffer.alloc(5 << 20, ' '))),
      'registry/bad-answer: the answer from HOST has more than the 4194304 bytes allowed',
    ],
    [
      'is none',
      () => arrange(giveToken(), 'ftp://elsewhere/token'),
      'registry/bad-answer: HOST names a token server that is not asked: "ftp://elsewhere/token"',
    ],
  ])('%s', async (_, act, message) => {
    act();
    const error = await fetch().catch((thrown: { code: string; message: string }) => `${thrown.code}: ${thrown.message}`);
    expect(String(error).replaceAll(registry.host, 'HOST')).toBe(message);
  });
});

it('for a registry whose port is written although it need not be', async () => {
  // Origins are compared: https://host:443 is https://host.
  const { Connection } = await import('../../../src/registry/connection.ts');
  const endpoint = { registry: 'h:443', host: 'H.invalid:443', path: 'x', isInsecure: false, isMirror: false };
  const sent: (string | undefined)[] = [];
  const agent = new MockAgent();
  agent.disableNetConnect();
  const pool = agent.get('https://h.invalid');
  const answer = (status: number, headers: Record<string, string> = {}) =>
    pool.intercept({ path: '/v2/x', method: 'GET' }).reply(({ headers: asked }) => {
      sent.push((asked as Record<string, string>).authorization);
      return { statusCode: status, data: '', responseOptions: { headers } };
    });
  answer(401, { 'www-authenticate': 'Basic realm="x"' });
  answer(200);
  const authority = {
    agents: { of: () => agent } as never,
    signal: new AbortController().signal,
    limits: registryLimits,
    credentials: async () => ({ credentials: { user: 'ada', password: 'word' } }),
  };
  await new Connection(endpoint, authority).send({ method: 'GET', path: '/v2/x', statuses: [200], scopes: [], subject: 'x' });
  expect(sent).toEqual([undefined, basic]);
});
