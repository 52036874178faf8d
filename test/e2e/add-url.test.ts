// ADD of a URL, against a server of the test's own on loopback: what the file becomes, when it is asked for, and what a server may not do.

import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { tarOf } from '../support/archives.ts';
import { makeContext } from '../support/contexts.ts';
import { type Built, build } from '../support/events.ts';
import { type Answer, file, type HttpServer, serveHttp } from '../support/http-server.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

const text = 'far away\n';
const sha256 = (content: string | Buffer) => `sha256:${createHash('sha256').update(content).digest('hex')}`;
const answers: Record<string, Answer> = {};
let server: HttpServer;
let store: string;
let archive: Buffer;

beforeAll(async () => {
  store = freshStore();
  server = await serveHttp(answers);
  archive = gzipSync(await tarOf([{ name: 'in/side', content: 'inside\n', uid: 5, gid: 6, mode: 0o640 }]));
  answers['/f.txt'] = file(text);
  answers['/a%20b'] = file('spaced\n');
  answers['/'] = file('root\n');
  answers['/plain'] = (_, response) => response.end('no time\n');
  answers['/x.tar.gz'] = file(archive);
  answers['/named'] = file('n\n', { 'content-disposition': 'attachment; filename="../../etc/evil"' });
  answers['/zipped'] = file(gzipSync('unzipped\n'), { 'content-encoding': 'gzip' });
  answers['/private'] = (request, response) =>
    request.headers.authorization ? response.end(`${request.headers.authorization}\n`) : response.writeHead(401).end();
  answers['/away'] = (_, response) => response.writeHead(302, { location: '/f.txt' }).end();
});
beforeEach(() => server.reset());

const addOf = (instructions: string) => `FROM busybox\n${instructions.replaceAll('URL', server.url)}\n`;

function buildOf(instructions: string, more: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Built> {
  return build(['-t', 'far', ...more, makeContext({ Dockerfile: addOf(instructions) })], { store, env });
}

async function probe(
  instructions: string,
  command: string,
  more: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
): Promise<string> {
  const built = await buildOf(instructions, more, env);
  if (built.code !== 0) throw new Error(built.stderr);
  return (await tbuildOk(['run', '--rm', 'far', 'sh', '-c', command], { store })).trim();
}

const stat = (name: string) => `stat -c '%n %a %u:%g %Y' ${name}`;

describe('57. ADD url: mode 0600, modified when the server says', () => {
  it('is root’s, and modified at Last-Modified', async () => {
    expect(await probe('ADD URL/f.txt /d/', `${stat('/d/f.txt')}; cat /d/f.txt`)).toBe('/d/f.txt 600 0:0 1577934245\nfar away');
  });

  it('is of the epoch when the server says nothing', async () => {
    expect(await probe('ADD URL/plain /d/', stat('/d/plain'))).toBe('/d/plain 600 0:0 0');
  });

  it('has the time in its key: another Last-Modified is another file', async () => {
    answers['/dated'] = file('same\n', { 'last-modified': 'Thu, 02 Jan 2020 03:04:05 GMT', etag: '"1"' });
    expect(await probe('ADD URL/dated /d/', stat('/d/dated'))).toContain('1577934245');
    answers['/dated'] = file('same\n', { 'last-modified': 'Fri, 03 Jan 2020 03:04:05 GMT', etag: '"2"' });
    expect(await probe('ADD URL/dated /d/', stat('/d/dated'))).toContain('1578020645');
  });
});

describe('the file’s name', () => {
  it.each([
    ['the path’s last part, decoded', 'ADD URL/a%20b?x=/y#z /d/', '/d/a b'],
    ['__unnamed__ where the path has none', 'ADD URL /d/', '/d/__unnamed__'],
    ['not what the server calls it', 'ADD URL/named /d/', '/d/named'],
    ['the destination without a slash', 'ADD URL/f.txt /d', '/d'],
  ])('is %s', async (_, instruction, expected) => {
    expect(await probe(instruction, 'find /d /etc/evil -type f 2>/dev/null; true')).toBe(expected);
  });
});

describe('flags', () => {
  it('55. an archive from a URL is not extracted', async () => {
    expect(await probe('ADD URL/x.tar.gz /d/', 'ls /d')).toBe('x.tar.gz');
  });

  it('--unpack=true extracts it, --chown and --chmod count', async () => {
    expect(await probe('ADD --unpack=true URL/x.tar.gz /d/', "stat -c '%a %u:%g' /d/in/side")).toBe('640 5:6');
    expect(await probe('ADD --unpack=true --chown=7:8 URL/x.tar.gz /d/', "stat -c '%u:%g' /d/in/side")).toBe('7:8');
    expect(await probe('ADD --chown=7:8 --chmod=755 URL/f.txt /d/', "stat -c '%a %u:%g' /d/f.txt")).toBe('755 7:8');
  });

  it('--link, on another base and for several platforms', async () => {
    expect(await probe('ADD --link URL/f.txt /d/', 'cat /d/f.txt')).toBe('far away');
    const first = await build([makeContext({ Dockerfile: addOf('RUN touch /new\nADD URL/f.txt URL/plain /d/') })], { store });
    const second = await build([makeContext({ Dockerfile: addOf('RUN touch /newer\nADD URL/f.txt URL/plain /d/') })], { store });
    expect(first.cached).not.toContain(`ADD ${server.url}/f.txt ${server.url}/plain /d/`);
    expect(second.cached).toContain(`ADD ${server.url}/f.txt ${server.url}/plain /d/`);
    server.reset();
    const platforms = ['--platform=linux/amd64,linux/arm64', '--no-cache'];
    const scratch = makeContext({
      Dockerfile: `FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /$TARGETARCH\nADD ${server.url}/f.txt /\n`,
    });
    expect((await build([...platforms, scratch], { store })).code).toBe(0);
    expect(server.log).toEqual(['GET /f.txt 200']);
  });

  it('sources of all kinds come in their order', async () => {
    const context = makeContext({
      Dockerfile: addOf('ADD a URL/f.txt b/ URL/plain /d/'),
      a: 'a',
      'b/f.txt': 'local\n',
      'b/plain': 'lost',
    });
    await tbuildOk(['build', '-q', '-t', 'mixed', context], { store });
    expect(await tbuildOk(['run', '--rm', 'mixed', 'sh', '-c', 'cd /d; ls; cat f.txt plain'], { store })).toBe(
      'a\nf.txt\nplain\nlocal\nno time\n',
    );
  });
});

describe('--checksum', () => {
  it('takes what matches, and asks for it once', async () => {
    const add = `ADD --checksum=${sha256(text)} URL/f.txt /sum/`;
    expect((await buildOf(add)).code).toBe(0);
    server.reset();
    expect((await buildOf(add)).ran).toEqual([]);
    expect(server.log).toEqual([]);
  });

  it('refuses what does not', async () => {
    const { code, stderr } = await buildOf(`ADD --checksum=${sha256('other')} URL/f.txt /`);
    expect(code).toBe(4);
    expect(stderr).toContain(`digest mismatch for ${server.url}/f.txt: ${sha256(text)} (expected: ${sha256('other')})`);
  });

  it.each([
    ['md5:d41d8cd98f00b204e9800998ecf8427e', 'unsupported digest algorithm: md5'],
    ['sha256:abc', 'invalid checksum digest length: sha256:abc'],
    ['nonsense', 'invalid checksum digest format: nonsense'],
  ])('%s is an error before anything is asked', async (checksum, message) => {
    const { code, stderr } = await buildOf(`ADD --checksum=${checksum} URL/f.txt /`);
    expect([code, server.log]).toEqual([3, []]);
    expect(stderr).toContain(message);
  });
});

describe('a second build', () => {
  it('asks whether the file has changed, receives nothing, and is cached', async () => {
    const first = await buildOf('ADD URL/f.txt /again/');
    server.reset();
    const second = await buildOf('ADD URL/f.txt /again/');
    expect(server.log).toEqual(['GET /f.txt 304']);
    expect(second.ran).toEqual([]);
    expect(second.image).toBe(first.image);
  });

  it('goes by the time where the server gives no tag', async () => {
    answers['/timed'] = (request, response) => {
      if (request.headers['if-modified-since']) response.writeHead(304).end();
      else response.writeHead(200, { 'last-modified': 'Thu, 02 Jan 2020 03:04:05 GMT' }).end('timed\n');
    };
    await buildOf('ADD URL/timed /');
    expect((await buildOf('ADD URL/timed /')).ran).toEqual([]);
    expect(server.log).toEqual(['GET /timed 200', 'GET /timed 304']);
  });

  it('receives it again with --no-cache, and when what was kept is damaged', async () => {
    answers['/kept'] = file('kept\n');
    const add = (to: string) => `ADD URL/kept ${to}`;
    await buildOf(add('/1/'));
    await buildOf(add('/1/'), ['--no-cache']);
    expect(server.log).toEqual(['GET /kept 200', 'GET /kept 200']);
    const kept = path.join(store, 'sources/http', `${createHash('sha256').update(`${server.url}/kept`).digest('hex')}.content`);
    expect(readFileSync(kept, 'utf8')).toBe('kept\n');
    writeFileSync(kept, 'KEPT\n');
    expect(await probe(add('/2/'), 'cat /2/kept')).toBe('kept');
  });
});

describe('what servers do', () => {
  it('gzip as an encoding is taken off', async () => {
    expect(await probe('ADD URL/zipped /', 'cat /zipped')).toBe('unzipped');
  });

  it('a redirect is followed, and does not name the file', async () => {
    expect(await probe('ADD URL/away /r/', 'ls /r; cat /r/away')).toBe('away\nfar away');
  });

  it('404 is an error at the instruction, with the status', async () => {
    const context = makeContext({ Dockerfile: addOf('ADD URL/nothing?token=s3cret /') });
    const { code, stderr } = await tbuild(['build', '--progress=plain', context], { store });
    expect(code).toBe(4);
    expect(stderr).toContain(`cannot download ${server.url}/nothing: invalid response status 404`);
    expect(stderr).toContain('Dockerfile:2');
  });
});

describe('secrets', () => {
  it.each([
    ['HTTP_AUTH_TOKEN_', 'Bearer t0ken'],
    ['HTTP_AUTH_HEADER_', 't0ken'],
  ])('%s<host> is sent', async (prefix, sent) => {
    const secret = ['--secret', `id=${prefix}${server.host},env=TOKEN`, '--no-cache'];
    expect(await probe('ADD URL/private /', 'cat /private', secret, { TOKEN: 't0ken\n' })).toBe(sent);
  });

  it('without one the error says which it could be', async () => {
    const { stderr } = await buildOf('ADD URL/private /', ['--no-cache']);
    expect(stderr).toContain('invalid response status 401');
    expect(stderr).toContain(`HTTP_AUTH_TOKEN_${server.host}`);
  });
});

it('goes through the proxy of the environment', async () => {
  const proxy = await serveHttp({});
  const { stderr } = await buildOf('ADD http://nowhere.invalid/x /', [], { http_proxy: proxy.url, no_proxy: '' });
  expect(stderr).toContain('cannot download http://nowhere.invalid/x');
  expect(proxy.headers.length + proxy.log.length).toBeGreaterThan(0);
});
