// Downloads against servers that fail in every way they can: tries, redirects, credentials, sizes, and what is kept. All on loopback.

import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { TbuildError } from '../../../../src/base/errors.ts';
import { type Download, download, type HttpAccess, takeDownload } from '../../../../src/context/http/download.ts';
import type { HttpLimits } from '../../../../src/context/http/request.ts';
import { type Answer, file, type HttpServer, serveHttp } from '../../../support/http-server.ts';

const answers: Record<string, Answer> = {};
const elsewhere: Record<string, Answer> = {};
let server: HttpServer;
let other: HttpServer;
let folder: string;
let names = 0;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-http-'));
  server = await serveHttp(answers);
  other = await serveHttp(elsewhere);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(() => {
  server.reset();
  other.reset();
});

const places = () => ({ downloads: path.join(folder, 'kept'), newPath: () => path.join(folder, String(++names)) });

function accessOf(more: Partial<HttpAccess> = {}, limits: Partial<HttpLimits> = {}): HttpAccess {
  return {
    secret: () => undefined,
    fresh: false,
    progress: () => {},
    signal: new AbortController().signal,
    ...more,
    limits: { connectMs: 1000, idleMs: 300, backoffMs: 10, ...limits },
  };
}

const sourceOf = (where: string) => ({ url: `${server.url}${where}`, name: 'f', checksum: undefined });

const get = (where: string, more: Partial<HttpAccess> = {}, limits: Partial<HttpLimits> = {}): Promise<Download> =>
  download(sourceOf(where), places(), accessOf(more, limits));

async function content(where: string, more: Partial<HttpAccess> = {}): Promise<string> {
  const access = accessOf(more);
  const { root } = await takeDownload(sourceOf(where), places(), access, await download(sourceOf(where), places(), access));
  return readFileSync(path.join(root, 'f'), 'utf8');
}

async function failureOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (failure: unknown) => failure,
  );
  expect(error).toBeInstanceOf(TbuildError);
  return `${(error as TbuildError).code}: ${(error as TbuildError).message}`;
}

/** The first answers fail, then it is well. */
function failing(times: number, fail: Answer): Answer {
  let count = 0;
  return (request, response) => (count++ < times ? fail(request, response) : response.end('well\n'));
}

describe('another try', () => {
  it.each([
    ['503', (_, response) => void response.writeHead(503).end()],
    ['429 with Retry-After', (_, response) => void response.writeHead(429, { 'retry-after': '0' }).end()],
    ['a connection that is reset', (request) => void request.socket.destroy()],
    [
      'a body that is cut short',
      (_, response) => {
        response.writeHead(200, { 'content-length': '100' }).write('half');
        setTimeout(() => response.socket?.destroy(), 10);
      },
    ],
    [
      'chunks that end without an end',
      (_, response) => {
        response.write('half');
        setTimeout(() => response.socket?.destroy(), 10);
      },
    ],
    ['a server that says nothing', () => {}],
    ['a body that stalls', (_, response) => void response.write('half')],
  ] satisfies [string, Answer][])('after %s', async (_, fail) => {
    answers['/flaky'] = failing(2, fail);
    expect(await content('/flaky', { fresh: true })).toBe('well\n');
    expect(server.log).toHaveLength(3);
  });

  it('is not made for ever', async () => {
    answers['/dead'] = (_, response) => void response.writeHead(503).end();
    expect(await failureOf(get('/dead'))).toBe(`context/http: cannot download ${server.url}/dead: invalid response status 503`);
    expect(server.log).toHaveLength(4);
  });

  it('waits as long as the server wants, but no longer than we do', async () => {
    answers['/later'] = failing(1, (_, response) => void response.writeHead(429, { 'retry-after': '3600' }).end());
    const startedMs = Date.now();
    await get('/later', {}, { retryAfterMaxMs: 200 });
    expect(Date.now() - startedMs).toBeGreaterThan(190);
    expect(Date.now() - startedMs).toBeLessThan(5000);
  });

  it.each([400, 401, 403, 404, 410])('is not made after %i', async (status) => {
    answers['/no'] = (_, response) => void response.writeHead(status).end();
    expect(await failureOf(get('/no'))).toContain(`invalid response status ${status}`);
    expect(server.log).toHaveLength(1);
  });
});

describe('redirects', () => {
  const to =
    (location: string): Answer =>
    (_, response) =>
      void response.writeHead(302, { location }).end('look there');

  it('are followed, relative ones too, and end', async () => {
    answers['/1'] = to('2?x');
    answers['/2'] = (_, response) => response.end('two\n');
    answers['/loop'] = to('/loop');
    expect(await content('/1')).toBe('two\n');
    expect(await failureOf(get('/loop'))).toContain('stopped after 10 redirects');
    expect(server.log.filter((line) => line.includes('loop'))).toHaveLength(11);
  });

  it.each(['file:///etc/passwd', 'ftp://127.0.0.1/', 'gopher:x', 'http://['])('to %s are not', async (location) => {
    answers['/away'] = to(location);
    expect(await failureOf(get('/away'))).toContain('redirected to what is no http URL');
  });

  it('take no credentials to another host, and none back', async () => {
    const secret = (id: string) => (id === 'HTTP_AUTH_TOKEN_127.0.0.1' ? Buffer.from('t0ken') : undefined);
    answers['/there'] = to(`${other.url}/and-back`);
    elsewhere['/and-back'] = to(`${server.url}/end`);
    answers['/end'] = (_, response) => response.end('end');
    answers['/same'] = to('/end');
    await get('/there', { secret });
    await get('/same', { secret });
    expect(other.headers.map(({ authorization }) => authorization)).toEqual([undefined]);
    expect(server.headers.map(({ authorization }) => authorization)).toEqual([
      'Bearer t0ken',
      undefined,
      'Bearer t0ken',
      'Bearer t0ken',
    ]);
  });

  it('user and password of a URL are sent as such, and are in no message', async () => {
    answers['/user'] = (_, response) => response.end();
    const url = server.url.replace('//', '//us%65r:pa%3Ass@');
    await download({ url: `${url}/user`, name: 'f', checksum: undefined }, places(), accessOf());
    expect(server.headers[0]?.authorization).toBe(`Basic ${Buffer.from('user:pa:ss').toString('base64')}`);
    const failure = await failureOf(
      download({ url: `${url}/none?sig=s3cret`, name: 'f', checksum: undefined }, places(), accessOf()),
    );
    expect(failure).toBe(`context/http: cannot download ${server.url}/none: invalid response status 404`);
  });
});

describe('sizes', () => {
  it('have a limit, said or not, packed or not', async () => {
    answers['/said'] = (_, response) => response.writeHead(200, { 'content-length': '2000' }).end(Buffer.alloc(2000));
    answers['/unsaid'] = (_, response) => {
      response.write(Buffer.alloc(1000));
      response.end(Buffer.alloc(1000));
    };
    answers['/bomb'] = (_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(5_000_000)));
    for (const where of ['/said', '/unsaid', '/bomb']) {
      expect(await failureOf(get(where, {}, { bytes: 1500 }))).toContain('it has more than 1500 bytes');
    }
    expect(server.log).toHaveLength(3);
  });

  it('of a gzip that is cut short or none are errors', async () => {
    const gzip = gzipSync('a'.repeat(1000));
    answers['/cut'] = (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzip.subarray(0, 20));
    answers['/none'] = (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('no gzip at all');
    expect(await failureOf(get('/cut'))).toContain('context/http: cannot download');
    expect(await failureOf(get('/none'))).toContain('context/http: cannot download');
    delete answers['/none'];
  });

  it('an encoding that was not asked for is kept as it came', async () => {
    answers['/br'] = (_, response) => response.writeHead(200, { 'content-encoding': 'br' }).end('raw');
    expect(await content('/br')).toBe('raw');
  });
});

describe('what is kept', () => {
  it('is mode 0600 and as old as the server says, be it before the epoch or no date at all', async () => {
    for (const [said, seconds] of [
      ['Thu, 02 Jan 2020 03:04:05 GMT', 1577934245],
      ['Wed, 31 Dec 1969 23:00:00 GMT', -3600],
      ['yesterday', 0],
      ['0', 0],
    ] as const) {
      answers['/dated'] = (_, response) => response.writeHead(200, { 'last-modified': said }).end('x');
      const access = accessOf({ fresh: true });
      const known = await download(sourceOf('/dated'), places(), access);
      const { root } = await takeDownload(sourceOf('/dated'), places(), access, known);
      const { mode, mtimeMs } = statSync(path.join(root, 'f'));
      expect([said, mode & 0o7777, mtimeMs / 1000]).toEqual([said, 0o600, seconds]);
    }
  });

  it('is told apart by the server’s tag, weak ones too', async () => {
    answers['/weak'] = (request, response) =>
      void response.writeHead(request.headers['if-none-match'] === 'W/"1"' ? 304 : 200, { etag: 'W/"1"' }).end();
    await get('/weak');
    await get('/weak');
    expect(server.log).toEqual(['GET /weak 200', 'GET /weak 304']);
  });

  it('is taken when a server sends it all over again under the same tag', async () => {
    let bytes = 0;
    answers['/deaf'] = (_, response) => {
      response.writeHead(200, { etag: '"1"' });
      const timer = setInterval(() => {
        bytes += 1;
        response.write('x');
        if (bytes === 3) response.end();
      }, 5);
      response.on('close', () => clearInterval(timer));
    };
    const first = await get('/deaf');
    bytes = -1e6;
    expect(await get('/deaf')).toEqual(first);
  });

  it('is not asked about by a time of the last minute', async () => {
    const now = new Date().toUTCString();
    answers['/new'] = (_, response) => response.writeHead(200, { 'last-modified': now }).end('new');
    await get('/new');
    await get('/new');
    expect(server.headers.map((headers) => headers['if-modified-since'])).toEqual([undefined, undefined]);
  });

  it('has no part of what was not received whole', async () => {
    const before = readdirSync(path.join(folder, 'kept')).sort();
    answers['/half'] = (_, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('half');
      setTimeout(() => response.socket?.destroy(), 10);
    };
    await failureOf(get('/half'));
    expect(readdirSync(path.join(folder, 'kept')).sort()).toEqual(before);
  });

  it('that changes between the question and the use is an error', async () => {
    answers['/changes'] = file('one', { etag: '"1"' });
    const known = await get('/changes');
    answers['/changes'] = file('two', { etag: '"2"' });
    await get('/changes');
    expect(await failureOf(takeDownload(sourceOf('/changes'), places(), accessOf(), known))).toContain('it changed meanwhile');
  });

  it('by checksum alone is taken without a question', async () => {
    answers['/sum'] = file('sum');
    const checksum = `sha256:${createHash('sha256').update('sum').digest('hex')}` as const;
    const source = { ...sourceOf('/sum'), checksum };
    await takeDownload(source, places(), accessOf(), undefined);
    await takeDownload(source, places(), accessOf(), undefined);
    expect(server.log).toEqual(['GET /sum 200']);
  });
});

it('a secret that no header can hold is said to be one, and not shown', async () => {
  const secret = (id: string) => (id.startsWith('HTTP_AUTH_HEADER_') ? Buffer.from('a\nb: c') : undefined);
  const failure = await failureOf(get('/x', { secret }));
  expect(failure).toBe('usage/secret: the secret for 127.0.0.1 has a character that no header can have');
  expect(server.log).toEqual([]);
});

it('ends when the build does', async () => {
  answers['/slow'] = (_, response) => void response.write('…');
  const stop = new AbortController();
  const running = get('/slow', { signal: stop.signal }, { idleMs: 60_000 });
  setTimeout(() => stop.abort(new Error('enough')), 50);
  await expect(running).rejects.toThrow('enough');
});

describe('https', () => {
  let https: string;
  let certificate: string;
  beforeAll(async () => {
    const [key, cert] = ['key.pem', 'cert.pem'].map((name) => path.join(folder, name)) as [string, string];
    const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', cert, ...subject],
      {
        stdio: 'ignore',
      },
    );
    certificate = cert;
    const secure = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
      if (request.url === '/open') response.writeHead(302, { location: `${server.url}/end` }).end();
      else response.end('secure\n');
    });
    await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve));
    https = `https://127.0.0.1:${(secure.address() as AddressInfo).port}`;
    afterAll(() => {
      secure.closeAllConnections();
      secure.close();
    });
  });

  /** In a process of its own: which certificates count is read when one starts. */
  async function fetchApart(where: string, env: NodeJS.ProcessEnv): Promise<string> {
    const script = `
      import { download } from ${JSON.stringify(path.join(import.meta.dirname, '../../../../src/context/http/download.ts'))};
      const places = { downloads: process.argv[1], newPath: () => process.argv[1] + process.pid + performance.now() };
      const access = { secret: () => {}, fresh: true, progress: () => {}, signal: new AbortController().signal, limits: { tries: 1 } };
      const source = { url: process.argv[2], name: 'f', checksum: undefined };
      console.log(await download(source, places, access).then(({ digest }) => digest, ({ message }) => message));`;
    const args = ['--input-type=module', '-e', script, path.join(folder, 'secure'), https + where];
    const { stdout } = await promisify(execFile)(process.execPath, args, { env: { ...process.env, ...env } });
    return stdout.trim();
  }

  it('checks certificates, with those of NODE_EXTRA_CA_CERTS', async () => {
    expect(await fetchApart('/x', { NODE_EXTRA_CA_CERTS: '' })).toContain('self-signed certificate');
    const secure = createHash('sha256').update('secure\n').digest('hex');
    expect(await fetchApart('/x', { NODE_EXTRA_CA_CERTS: certificate })).toBe(`sha256:${secure}`);
  });

  it('never falls to http', async () => {
    const said = await fetchApart('/open', { NODE_EXTRA_CA_CERTS: certificate });
    expect(said).toContain(`redirected from https to http: ${server.url}/end`);
  });
});
