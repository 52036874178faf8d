// ADD of a git repository, served by git itself on loopback: refs, parts, submodules, what is fetched a second time, and what a repository may not do.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { type Built, build } from '../support/events.ts';
import { COMMIT_SECONDS, makeRepositories, type Repositories } from '../support/git-server.ts';
import { type HttpServer, serveHttp } from '../support/http-server.ts';
import { freshStore } from '../support/stores.ts';
import { repository, tbuild, tbuildOk } from '../support/tbuild.ts';

let server: HttpServer;
let repositories: Repositories;
let store: string;
let first: string;
let second: string;

beforeAll(async () => {
  store = freshStore();
  repositories = makeRepositories();
  server = await serveHttp({
    '/git/*': repositories.answer,
    '/moved/*': (request, response) => void response.writeHead(302, { location: request.url!.replace('/moved/', '/git/') }).end(),
    '/old/*': (request, response) => {
      delete request.headers['git-protocol'];
      repositories.answer(Object.assign(request, { url: request.url!.replace('/old/', '/git/') }), response);
    },
    '/closed/*': (request, response) => {
      if (request.headers.authorization !== `Basic ${Buffer.from('x-access-token:t0ken').toString('base64')}`)
        response.writeHead(401, { 'www-authenticate': 'Basic' }).end();
      else repositories.answer(Object.assign(request, { url: request.url!.replace('/closed/', '/git/') }), response);
    },
  });
  repositories.commit('lib', { 'lib.txt': 'library\n' });
  first = repositories.commit('app', {
    'a.txt': 'one\n',
    run: { text: '#!/bin/sh\n', mode: 0o777 },
    'sub/b.txt': 'b\n',
    link: { link: 'a.txt' },
  });
  repositories.git('app', 'tag', '--annotate', '--message=t', 'v1');
  repositories.git('app', 'branch', 'old');
  second = repositories.commit('app', { 'a.txt': 'two\n' });
});
beforeEach(() => {
  repositories.asked.length = 0;
});

const url = (name = 'app') => `${server.url}/git/${name}.git`;

function buildOf(instruction: string, more: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Built> {
  const context = makeContext({ Dockerfile: `FROM busybox\n${instruction.replaceAll('URL', `${server.url}/git`)}\n` });
  return build(['-t', 'git', ...more, context], { store, env });
}

async function probe(
  instruction: string,
  command: string,
  more: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
): Promise<string> {
  const built = await buildOf(instruction, more, env);
  if (built.code !== 0) throw new Error(built.stderr);
  return (await tbuildOk(['run', '--rm', 'git', 'sh', '-c', command], { store })).trim();
}

async function failureOf(instruction: string, more: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const { code, stderr } = await buildOf(instruction, more, env);
  expect(code).not.toBe(0);
  return stderr;
}

describe('the files', () => {
  it('are root’s, 644 and 755 whatever the umask, without .git', async () => {
    const files = 'cd /g; for f in $(find . | sort); do stat -c "%n %a %u:%g" $f; done; cat link';
    const expected = './a.txt 644 0:0\n./link 777 0:0\n./run 755 0:0\n./sub 755 0:0\n./sub/b.txt 644 0:0\ntwo';
    const umask = process.umask(0o077);
    try {
      expect(await probe('ADD URL/app.git /g', files)).toBe(`. 755 0:0\n${expected}`);
    } finally {
      process.umask(umask);
    }
  });

  it('can be of another owner and mode, and left out', async () => {
    const add = 'ADD --chown=3:4 --chmod=600 --exclude=sub --exclude=link URL/app.git /x';
    expect(await probe(add, 'cd /x; stat -c "%n %a %u:%g" *')).toBe('a.txt 600 3:4\nrun 600 3:4');
  });

  it('mtime=commit makes them as old as the commit', async () => {
    expect(await probe('ADD URL/app.git?mtime=commit /g', 'stat -c %Y /g/a.txt /g/sub')).toBe(
      `${COMMIT_SECONDS}\n${COMMIT_SECONDS}`,
    );
  });
});

describe('refs', () => {
  it.each([
    ['the default branch', '', 'two'],
    ['a branch', '#old', 'one'],
    ['an annotated tag', '#v1', 'one'],
    ['a whole ref', '#refs/heads/old', 'one'],
    ['a query: branch', '?branch=old', 'one'],
    ['a query: tag', '?tag=v1', 'one'],
    ['a query: ref', '?ref=old', 'one'],
    ['a commit', '#FIRST', 'one'],
    ['a commit that no ref is at', '?ref=main&checksum=SECOND', 'two'],
    ['a commit, without asking what the branch is', '?branch=main&commit=FIRST&fetch-by-commit=true', 'one'],
  ])('%s', async (_, suffix, expected) => {
    const source = `URL/app.git${suffix.replace('FIRST', first).replace('SECOND', second)}`;
    expect(await probe(`ADD ${source} /g`, 'cat /g/a.txt')).toBe(expected);
  });

  it('a commit that no ref is at, of a server that gives only what has a name', async () => {
    const inside = repositories.commit('deep-history', { f: 'inside' });
    repositories.commit('deep-history', { f: 'tip' });
    const add = (ref: string) => `ADD ${server.url}/old/deep-history.git#${ref} /g`;
    // After a shallow fetch of the tip the rest is fetched; and nothing twice.
    expect(await probe(add('main'), 'cat /g/f')).toBe('tip');
    expect(await probe(add(inside), 'cat /g/f')).toBe('inside');
    expect(await failureOf(add('0'.repeat(40)))).toContain(`repository does not contain ref ${'0'.repeat(40)}`);
  });

  it('a repository whose commits are named by SHA-256', async () => {
    const commit = repositories.commit('long', { f: 'sha256' }, 'sha256');
    expect(commit).toHaveLength(64);
    expect(await probe(`ADD --checksum=${commit.slice(0, 50)} URL/long.git /g`, 'cat /g/f')).toBe('sha256');
    expect(await probe(`ADD --keep-git-dir=true URL/long.git#${commit} /k`, 'cat /k/f /k/.git/HEAD')).toBe(`sha256${commit}`);
  });

  it('a subdirectory, by fragment and by query', async () => {
    expect(await probe('ADD URL/app.git#old:sub /g', 'ls /g')).toBe('b.txt');
    expect(await probe('ADD URL/app.git?subdir=sub /g', 'ls /g')).toBe('b.txt');
  });

  it('--keep-git-dir says that it is git, and keeps a repository', async () => {
    const keep = 'ADD --keep-git-dir=true URL/app /k';
    expect(await probe(keep, 'cat /k/.git/HEAD; ls /k/.git/hooks 2>/dev/null | wc -l; grep url /k/.git/config')).toBe(
      `${second}\n0\n\turl = ${server.url}/git/app`,
    );
    expect((await buildOf(keep)).ran).toEqual([]);
  });
});

describe('--checksum', () => {
  it('takes a commit’s first digits', async () => {
    expect(await probe(`ADD --checksum=${second.slice(0, 9)} URL/app.git /g`, 'cat /g/a.txt')).toBe('two');
    // The tag's own digits, or those of its commit.
    expect(await probe(`ADD --checksum=${first} URL/app.git#v1 /g`, 'cat /g/a.txt')).toBe('one');
  });

  it.each([
    ['another commit', () => `--checksum=${first} URL/app.git`, () => `expected checksum to match ${first}, got ${second}`],
    ['no commit', () => '--checksum=xyz URL/app.git', () => 'invalid checksum xyz for Git URL, expected hex commit hash'],
    ['a conflict', () => '--checksum=1234 URL/app.git?checksum=5678', () => 'checksum mismatch'],
  ])('refuses %s', async (_, add, message) => {
    expect(await failureOf(`ADD ${add()} /g`)).toContain(message());
  });
});

describe('submodules', () => {
  it('come along, and those in them; a relative URL stands beside the repository', async () => {
    repositories.commit('deep', { 'deep.txt': 'deep\n' });
    repositories.git('lib', '-c', 'protocol.file.allow=always', 'submodule', 'add', '--quiet', '../deep.git', 'deep');
    repositories.commit('lib', {});
    repositories.commit('main', { 'main.txt': 'main\n' });
    repositories.git('main', '-c', 'protocol.file.allow=always', 'submodule', 'add', '--quiet', '../lib.git', 'third/lib');
    repositories.commit('main', { '.gitmodules': `[submodule "third/lib"]\n\tpath = third/lib\n\turl = ${url('lib')}\n` });
    expect(await probe('ADD URL/main.git /m', 'cat /m/third/lib/lib.txt /m/third/lib/deep/deep.txt; find /m -name .git')).toBe(
      'library\ndeep',
    );
    expect(await probe('ADD URL/main.git?submodules=false /m', 'find /m/third')).toBe('/m/third\n/m/third/lib');
  });

  it.each([
    ['ext::sh -c "touch /tmp/tbuild-hacked"'],
    ['--upload-pack=touch /tmp/tbuild-hacked'],
    ['file:///etc'],
    ['/etc'],
    ['-u./payload'],
  ])('with the URL %s is not fetched', async (evil) => {
    repositories.commit('evil', { 'x.txt': 'x\n' });
    const commit = repositories.git('evil', 'rev-parse', 'HEAD');
    repositories.git('evil', 'update-index', '--add', '--cacheinfo', `160000,${commit},mod`);
    repositories.commit('evil', { '.gitmodules': `[submodule "mod"]\n\tpath = mod\n\turl = ${JSON.stringify(evil)}\n` });
    repositories.git('evil', 'update-index', '--add', '--cacheinfo', `160000,${commit},mod`);
    repositories.git('evil', 'commit', '--quiet', '--message=mod');
    expect(await failureOf('ADD URL/evil.git /e')).toMatch(/the submodule "mod\\?" has the URL|the submodule \\"mod/);
    expect(existsSync('/tmp/tbuild-hacked')).toBe(false);
  });
});

describe('a second build', () => {
  it('asks for the refs alone, fetches nothing, and is cached', async () => {
    await buildOf('ADD URL/app.git /again');
    repositories.asked.length = 0;
    const again = await buildOf('ADD URL/app.git /again');
    expect(again.ran).toEqual([]);
    expect(repositories.asked.filter((line) => line.startsWith('POST'))).toHaveLength(1);
  });

  it('does not even ask for a commit', async () => {
    await buildOf(`ADD URL/app.git#${first} /commit`);
    repositories.asked.length = 0;
    expect((await buildOf(`ADD URL/app.git#${first} /commit`)).ran).toEqual([]);
    expect(repositories.asked).toEqual([]);
  });

  it('keeps fifty clones: the longest unused goes', async () => {
    const clones = path.join(store, 'sources/git');
    for (let i = 0; i < 50; i++) {
      mkdirSync(path.join(clones, `old-${i}`), { recursive: true });
      utimesSync(path.join(clones, `old-${i}`), 1000 - i, 1000 - i);
    }
    repositories.commit('fresh', { f: 'fresh' });
    await buildOf('ADD URL/fresh.git /n');
    const left = readdirSync(clones);
    expect(left).toHaveLength(50);
    expect(left.includes('old-0') && !left.includes('old-49')).toBe(true);
    for (const name of left.filter((each) => each.startsWith('old-'))) rmSync(path.join(clones, name), { recursive: true });
  });

  it('fetches a new commit into the clone that is here, or makes a new one where that is gone', async () => {
    repositories.commit('grows', { f: '1' });
    expect(await probe('ADD URL/grows.git /n', 'cat /n/f')).toBe('1');
    const clones = readdirSync(path.join(store, 'sources/git')).length;
    repositories.commit('grows', { f: '2' });
    expect(await probe('ADD URL/grows.git /n', 'cat /n/f')).toBe('2');
    expect(readdirSync(path.join(store, 'sources/git'))).toHaveLength(clones);
    rmSync(path.join(store, 'sources/git'), { recursive: true });
    repositories.commit('grows', { f: '3' });
    expect(await probe('ADD URL/grows.git /n', 'cat /n/f')).toBe('3');
  });
});

describe('hostile sources', () => {
  it.each([
    ['a ref that is an option', 'URL/app.git#--upload-pack=touch', 'is no name of a branch'],
    ['a subdirectory above', 'URL/app.git#main:../../etc', 'leads out of the repository'],
    ['a host that is an option', 'ssh://-oProxyCommand=touch/x.git', 'is no URL of a git repository'],
    ['both a tag and a branch', 'URL/app.git?tag=a&branch=b', 'branch conflicts with tag'],
    ['an unknown parameter', 'URL/app.git?depth=1', 'unexpected query'],
    ['a ref that is not there', 'URL/app.git#nothing', 'repository does not contain ref nothing'],
    ['a subdirectory that is not there', 'URL/app.git#main:nowhere', 'there is no directory nowhere'],
    ['a repository that is not there', 'URL/none.git', 'failed to fetch remote'],
  ])('%s', async (_, source, message) => {
    expect(await failureOf(`ADD ${source} /g`)).toContain(message);
  });

  it('ext:: is a path, and no command', async () => {
    expect(await failureOf('ADD ["ext::sh -c touch% /tmp/tbuild-hacked", "/g"]')).toContain('not found in the build context');
    expect(existsSync('/tmp/tbuild-hacked')).toBe(false);
  });

  it('a link that leads out of the repository is no subdirectory', async () => {
    repositories.commit('links', { out: { link: '/etc' }, up: { link: '../..' }, in: { link: 'dir' }, 'dir/f': 'f\n' });
    expect(await failureOf('ADD URL/links.git#main:out /g')).toContain('there is no directory out');
    expect(await failureOf('ADD URL/links.git#main:up /g')).toContain('there is no directory up');
    expect(await probe('ADD URL/links.git#main:in /g', 'ls /g')).toBe('f');
  });

  it('configuration, hooks and variables of the machine do not count', async () => {
    const home = makeContext({
      '.gitconfig': '[core]\n\thooksPath = hooks\n[url "http://127.0.0.1:1/"]\n\tinsteadOf = http://\n',
      'hooks/post-checkout': { text: '#!/bin/sh\ntouch /tmp/tbuild-hacked\n', mode: 0o755 },
    });
    const env = {
      HOME: home,
      GIT_DIR: '/nonexistent',
      GIT_PROXY_COMMAND: 'touch /tmp/tbuild-hacked',
      GIT_CONFIG_GLOBAL: `${home}/.gitconfig`,
    };
    expect(await probe('ADD URL/app.git#old /h', 'cat /h/a.txt', ['--no-cache'], env)).toBe('one');
    expect(existsSync('/tmp/tbuild-hacked')).toBe(false);
  });
});

describe('credentials', () => {
  const closed = () => `ADD ${server.url}/closed/app.git#old /c`;

  it.each([['GIT_AUTH_TOKEN'], ['GIT_AUTH_TOKEN.HOST']])('the secret %s is sent', async (id) => {
    const secret = ['--secret', `id=${id.replace('HOST', server.url.slice(7))},env=TOKEN`];
    expect(await probe(closed(), 'cat /c/a.txt', [...secret, '--no-cache'], { TOKEN: 't0ken' })).toBe('one');
  });

  it('without one nobody is asked, and the error says what to give', async () => {
    const { code, stderr } = await tbuild(['build', '--no-cache', makeContext({ Dockerfile: `FROM busybox\n${closed()}\n` })], {
      store,
      timeoutMs: 60_000,
    });
    expect(code).toBe(4);
    expect(stderr).toContain('GIT_AUTH_TOKEN');
  });

  it('do not follow to where a server sends us', async () => {
    const secret = ['--secret', 'id=GIT_AUTH_TOKEN,env=TOKEN'];
    const moved = `ADD ${server.url}/moved/app.git#old /c`;
    expect(await probe(moved, 'cat /c/a.txt')).toBe('one');
    expect(await failureOf(moved, [...secret, '--no-cache'], { TOKEN: 't0ken' })).toContain('failed to fetch remote');
  });
});

describe('other transports', () => {
  /** Does on this machine what it is asked to do on another, and writes down what it was given. */
  function fakeSsh(): { env: NodeJS.ProcessEnv; said: () => string } {
    const said = path.join(repositories.root, 'ssh.log');
    rmSync(said, { force: true });
    const bin = makeContext({
      ssh: { text: `#!/bin/sh\necho "$* agent=$SSH_AUTH_SOCK" >> ${said}\nfor last; do :; done\neval "$last"\n`, mode: 0o755 },
    });
    return { env: { PATH: `${bin}:${process.env.PATH}` }, said: () => readFileSync(said, 'utf8') };
  }

  it('ssh: the agent’s keys alone, no configuration, a server’s key remembered in the store', async () => {
    const { env, said } = fakeSsh();
    const agent = { ...env, SSH_AUTH_SOCK: '/run/agent' };
    expect(await probe(`ADD ssh://git@host:2222${repositories.root}/app.git#old /s`, 'cat /s/a.txt', ['--no-cache'], agent)).toBe(
      'one',
    );
    expect(said()).toMatch(/^-F \/dev\/null -o BatchMode=yes .* -o IdentityFile=none -o StrictHostKeyChecking=accept-new /);
    expect(said()).toContain(`UserKnownHostsFile="${store}/sources/known_hosts" `);
    expect(said()).toMatch(/-p 2222 git@host git-upload-pack .* agent=\/run\/agent$/m);
  });

  it('--ssh default is the agent that ssh gets, while it runs', async () => {
    const { env, said } = fakeSsh();
    const key = path.join(repositories.root, 'key');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
    const ssh = ['--no-cache', '--ssh', `default=${key}`];
    expect(await probe(`ADD ssh://git@host${repositories.root}/app.git#old /s`, 'cat /s/a.txt', ssh, env)).toBe('one');
    const socket = /agent=(\S+)/.exec(said())?.[1] ?? '';
    // Short, wherever the store is: a socket's address holds some hundred bytes.
    expect(socket).toMatch(/^\/proc\/\d+\/fd\/\d+\/agent$/);
    expect(existsSync(socket)).toBe(false);
  });

  it('git@host:path is ssh', async () => {
    const { env, said } = fakeSsh();
    expect(await probe(`ADD git@host:${repositories.root}/app.git#old /s`, 'cat /s/a.txt', ['--no-cache'], env)).toBe('one');
    expect(said()).toContain(' git@host git-upload-pack ');
  });

  it('git://', async () => {
    const port = await freePort();
    const args = [
      'daemon',
      '--listen=127.0.0.1',
      `--port=${port}`,
      '--export-all',
      '--reuseaddr',
      `--base-path=${repositories.root}`,
    ];
    const daemon = spawn('git', args, { stdio: 'ignore', detached: true });
    try {
      await listening(port);
      expect(await probe(`ADD git://127.0.0.1:${port}/app.git#old /s`, 'cat /s/a.txt', ['--no-cache'])).toBe('one');
    } finally {
      process.kill(-daemon.pid!, 'SIGTERM');
    }
  });
});

it('an interrupted build ends its git, and the next one goes on', async () => {
  let arrived: () => void = () => {};
  const asked = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  const silent = await serveHttp({ '/git/*': () => arrived() });
  const context = makeContext({ Dockerfile: `FROM busybox\nADD ${silent.url}/git/x.git /x\n` });
  const child = spawn(path.join(repository, 'bin/tbuild'), ['build', context], {
    env: { ...process.env, TBUILD_ROOT: store },
    stdio: 'ignore',
  });
  await asked;
  const startedMs = Date.now();
  child.kill('SIGINT');
  const code = await new Promise((resolve) => child.once('close', resolve));
  expect([code, Date.now() - startedMs < 10_000]).toEqual([130, true]);
  const left = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandOf(pid).includes(`${silent.url}/git/x.git`));
  expect(left).toEqual([]);
});

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return ''; // It has ended.
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listening(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const isThere = await new Promise((resolve) =>
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false)),
    );
    socket.destroy();
    if (isThere) return;
    await sleep(20);
  }
}

it('where git is missing it says so', async () => {
  const { stderr } = await buildOf('ADD URL/app.git /g', ['--no-cache'], { PATH: path.dirname(process.execPath) });
  expect(stderr).toContain('git is not installed');
});
