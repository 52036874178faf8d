// Contexts from far away, served on loopback: a git repository, a tar, a Dockerfile; as the main context and as a named one.

import { gzipSync } from 'node:zlib';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { tarOf } from '../support/archives.ts';
import { makeContext } from '../support/contexts.ts';
import { build } from '../support/events.ts';
import { makeRepositories, type Repositories } from '../support/git-server.ts';
import { type Answer, file, type HttpServer, serveHttp } from '../support/http-server.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

const answers: Record<string, Answer> = {};
let server: HttpServer;
let repositories: Repositories;
let store: string;

beforeAll(async () => {
  store = freshStore();
  repositories = makeRepositories();
  server = await serveHttp(answers);
  answers['/git/*'] = repositories.answer;
  repositories.commit('app', {
    Dockerfile: 'FROM busybox\nCOPY . /d\n',
    '.dockerignore': 'ignored\n',
    ignored: 'i\n',
    'sub/Dockerfile': 'FROM busybox\nCOPY . /s\n',
    'sub/in': 'in\n',
    'other/X.Dockerfile': 'FROM busybox\nCOPY sub/in /x\n',
  });
  const entries = [
    { name: 'Dockerfile', content: 'FROM busybox\nCOPY . /d\n' },
    { name: 'a', content: 'A', uid: 5, gid: 6, mode: 0o640 },
    { name: 'docker/X', content: 'FROM busybox\nCOPY a /x\n' },
  ];
  answers['/context.tar.gz'] = file(gzipSync(await tarOf(entries)));
  answers['/Dockerfile'] = file('FROM busybox\nRUN echo alone > /alone\n');
  answers['/data.json'] = file('{"far":"away"}\n');
});
beforeEach(() => {
  server.reset();
  repositories.asked.length = 0;
});

async function see(probe: string, args: readonly string[], input?: string): Promise<string> {
  const image = await tbuildOk(['build', '-q', ...args], { store, ...(input !== undefined && { input }) });
  return (await tbuildOk(['run', '--rm', image.trim(), 'sh', '-c', probe], { store })).trim();
}

const list = 'cd /d; find . -type f | sort | tr "\\n" " "';
const app = () => `${server.url}/git/app.git`;

describe('a git repository', () => {
  it('is the context, without .git; no ignore file counts', async () => {
    expect(await see(list, [app()])).toBe(
      './.dockerignore ./Dockerfile ./ignored ./other/X.Dockerfile ./sub/Dockerfile ./sub/in',
    );
  });

  it('may be a part of it, at a ref', async () => {
    expect(await see('ls /s', [`${app()}#main:sub`])).toBe('Dockerfile\nin');
    expect(await see('ls /s', [`${app()}?branch=main&subdir=sub`])).toBe('Dockerfile\nin');
  });

  it('has the Dockerfile that -f names', async () => {
    expect(await see('cat /x', ['-f', 'other/X.Dockerfile', app()])).toBe('in');
    expect(await see('cat /y', ['-f', '-', app()], 'FROM busybox\nCOPY sub/in /y\n')).toBe('in');
  });

  it('keeps .git with BUILDKIT_CONTEXT_KEEP_GIT_DIR', async () => {
    expect(await see('ls -d /d/.git', ['--build-arg', 'BUILDKIT_CONTEXT_KEEP_GIT_DIR=1', app()])).toBe('/d/.git');
  });

  it('is asked for its refs and fetched once; a second build is cached', async () => {
    await build([app()], { store });
    repositories.asked.length = 0;
    const again = await build([app()], { store });
    expect(again.ran).toEqual([]);
    expect(repositories.asked.filter((line) => line.startsWith('POST'))).toHaveLength(1);
  });

  it.each([
    ['no Dockerfile where -f says', ['-f', 'none'], '', 3, 'there is no none in the build context from'],
    ['no such ref', [], '#nowhere', 4, 'repository does not contain ref nowhere'],
    ['a parameter that nobody knows', [], '?x=y', 4, 'unexpected query "x"'],
  ])('%s is an error', async (_, args, suffix, code, message) => {
    const result = await tbuild(['build', ...args, app() + suffix], { store });
    expect([result.code, result.stderr.includes(message)], result.stderr).toEqual([code, true]);
  });
});

describe('a URL', () => {
  it('of a tar: its files are the context, owners as it gives them', async () => {
    expect(await see(`${list}; stat -c '%a %u:%g' /d/a`, [`${server.url}/context.tar.gz`])).toBe(
      './Dockerfile ./a ./docker/X 640 5:6',
    );
    expect(await see('cat /x', ['-f', 'docker/X', `${server.url}/context.tar.gz`])).toBe('A');
  });

  it('of a text: it is the Dockerfile', async () => {
    expect(await see('cat /alone', [`${server.url}/Dockerfile`])).toBe('alone');
    const { code, stderr } = await tbuild(['build', '-f', 'x', `${server.url}/Dockerfile`], { store });
    expect(code).toBe(2);
    expect(stderr).toContain('is a Dockerfile, and -f names another');
  });

  it('is received once', async () => {
    await build([`${server.url}/context.tar.gz`], { store });
    server.reset();
    expect((await build([`${server.url}/context.tar.gz`], { store })).ran).toEqual([]);
    expect(server.log).toEqual(['GET /context.tar.gz 304']);
  });

  it('that is not there is an error', async () => {
    const { code, stderr } = await tbuild(['build', `${server.url}/none`], { store });
    expect([code, stderr.includes('invalid response status 404')]).toEqual([4, true]);
  });
});

it('-f takes a URL, with a context of this machine and with one from far away', async () => {
  answers['/elsewhere'] = file('FROM busybox\nCOPY sub/in /e\n');
  const url = `${server.url}/elsewhere`;
  expect(await see('cat /e', ['-f', url, makeContext({ 'sub/in': 'here', Dockerfile: 'nonsense' })])).toBe('here');
  expect(await see('cat /e', ['-f', url, app()])).toBe('in');
  answers['/wrong'] = file('FROM busybox\nRAN x\n');
  const { code, stderr } = await tbuild(['build', '-f', `${server.url}/wrong`, makeContext({})], { store });
  expect([code, stderr.includes(`${server.url}/wrong:2`)], stderr).toEqual([3, true]);
});

describe('--build-context', () => {
  it('git: a repository for COPY --from and for FROM, fetched only when it is used', async () => {
    const context = makeContext({
      Dockerfile:
        'FROM busybox AS unused\nCOPY --from=none . /\nFROM busybox\nCOPY --from=repo sub/in /r\nRUN --mount=from=repo,target=/m cp /m/ignored /i\n',
    });
    const contexts = ['--build-context', `repo=${app()}`, '--build-context', `none=${server.url}/git/none.git`];
    expect(await see('cat /r /i', [...contexts, context])).toBe('in\ni');
    const { events } = await build([...contexts, context], { store });
    const plan = events.find((event) => event.type === 'plan');
    expect(plan?.steps.map(({ name }) => name)).toContain(`[internal] load git source ${app()}`);
  });

  it('http: a directory with the file, which is called context', async () => {
    const context = makeContext({ Dockerfile: 'FROM busybox\nCOPY --from=data context /data.json\n' });
    expect(await see('cat /data.json', ['--build-context', `data=${server.url}/data.json`, context])).toBe('{"far":"away"}');
  });
});
