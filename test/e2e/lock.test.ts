// Dockerfile.lock: written by `tbuild lock`, gone by in builds, insisted on with --frozen. The real docker-registry, a server and a git repository, on loopback.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeBaseImages } from '../../setup/base-images.ts';
import { hostPlatform } from '../../src/oci/platform.ts';
import { makeContext } from '../support/contexts.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { makeRepositories } from '../support/git-server.ts';
import { file, type HttpServer, serveHttp } from '../support/http-server.ts';
import { emptyStore, freshStore } from '../support/stores.ts';
import { type Result, tbuild, tbuildOk } from '../support/tbuild.ts';

let registry: DockerRegistry;
let layout: string;
let server: HttpServer;
let content = 'one';
const repositories = makeRepositories();

beforeAll(async () => {
  registry = await startDockerRegistry();
  const images = await makeBaseImages(() => {});
  layout = images.find(({ names }) => names.includes('busybox:latest'))?.layout as string;
  server = await serveHttp({
    '/file': (request, response) => file(content, { etag: `"${content}"` })(request, response),
    '/git/*': repositories.answer,
  });
}, 120_000);

beforeEach(() => {
  content = 'one';
});

/** Another image under the name each time, made in a store of its own; its index's or manifest's digest. */
let made = 0;
async function publish(name: string, ...flags: string[]): Promise<string> {
  const metadata = path.join(makeContext({}), 'metadata.json');
  const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY made /\n', made: `${++made}` });
  const to = `${registry.host}/${name}`;
  await tbuildOk(['build', '-q', '--push', '-t', to, '--metadata-file', metadata, ...flags, context], { store: freshStore() });
  return (JSON.parse(readFileSync(metadata, 'utf8')) as Record<string, string>)['containerimage.digest'] as string;
}

function copyBusybox(name: string): string {
  const to = `docker://${registry.host}/${name}`;
  execFileSync('skopeo', ['copy', '-q', '--dest-tls-verify=false', `oci:${layout}`, to]);
  return `${registry.host}/${name}`;
}

const lockOf = (context: string, name = 'Dockerfile') =>
  JSON.parse(readFileSync(path.join(context, `${name}.lock`), 'utf8')) as Record<string, Record<string, Record<string, unknown>>>;

const build = (context: string, store: string, ...flags: string[]): Promise<Result> =>
  tbuild(['build', '--progress=plain', ...flags, context], { store });

const sha256 = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;

describe('tbuild lock', () => {
  it('writes what images, URLs and repositories are now, and a build takes these, whatever they become', async () => {
    const commit = repositories.commit('a', { 'in-git': 'first' });
    const digest = await publish('base:1');
    const text = `FROM ${registry.host}/base:1\nADD ${server.url}/file /\nADD ${server.url}/git/a.git#main /\n`;
    const context = makeContext({ Dockerfile: text });
    const store = emptyStore();
    const said = await tbuildOk(['lock', context], { store });
    const name = `${registry.host}/base:1`;
    expect(said).toContain(`${name}`);
    expect(said).toContain(`(none) → ${digest.slice(0, 19)}`);
    expect(said).toContain('Dockerfile.lock: 1 image, 1 URL, 1 repository\n');
    expect(lockOf(context)).toEqual({
      version: 1,
      images: { [name]: { digest, platforms: { 'linux/amd64': digest } } },
      urls: { [`${server.url}/file`]: { checksum: sha256('one') } },
      git: { [`${server.url}/git/a.git#main`]: { commit, ref: 'refs/heads/main' } },
    });
    expect(await tbuildOk(['lock', context], { store })).toBe(
      `${path.join(context, 'Dockerfile.lock')}: 1 image, 1 URL, 1 repository\n`,
    );

    const first = await build(context, store, '--frozen', '-t', 'app');
    expect(first.stderr).toContain(`FROM ${name}@${digest}`);
    expect(first.stderr).toMatch(/^locked +by Dockerfile.lock$/m);
    expect(first.code).toBe(0);
    const image = /^image +(\S+)$/m.exec(first.stderr)?.[1];

    const newer = await publish('base:1');
    const later = repositories.commit('a', { 'in-git': 'second' });
    const again = await build(context, emptyStore(), '-t', 'app');
    expect(again.code).toBe(0);
    expect(again.stderr).toContain(`FROM ${name}@${digest}`);
    expect((await build(context, store)).stderr).toMatch(new RegExp(`^image +${image}$`, 'm'));

    expect(await tbuildOk(['lock', '--update', `${registry.host}/base`, context], { store })).toContain(
      `${name}  ${digest.slice(0, 19)} → ${newer.slice(0, 19)}\n`,
    );
    expect(lockOf(context).git?.[`${server.url}/git/a.git#main`]?.commit).toBe(commit);
    content = 'two';
    const moved = await tbuildOk(['lock', '--update', context], { store });
    expect(moved).toContain(`${commit.slice(0, 12)} → ${later.slice(0, 12)}`);
    expect(moved).toContain(`${sha256('one').slice(0, 19)} → ${sha256('two').slice(0, 19)}`);
  });

  it('lists every platform of an index, wherever it is run', async () => {
    const digest = await publish('many:1', '--platform', 'linux/amd64,linux/arm64');
    const context = makeContext({ Dockerfile: `ARG TARGETARCH\nFROM ${registry.host}/many:1\nCOPY Dockerfile /\n` });
    await tbuildOk(['lock', context], { store: emptyStore() });
    const locked = lockOf(context).images?.[`${registry.host}/many:1`] as { digest: string; platforms: object };
    expect(locked.digest).toBe(digest);
    expect(Object.keys(locked.platforms)).toEqual(['linux/amd64', 'linux/arm64']);
    await publish('many:1');
    const { code, stderr } = await build(context, emptyStore(), '--frozen', '--platform', 'linux/amd64,linux/arm64');
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(stderr).toContain(`[linux/arm64 1/2] FROM ${registry.host}/many:1@${digest}`);
  });

  it('follows variables, keeps what other arguments lead to, and drops what the Dockerfile no longer names', async () => {
    const [one, two] = [await publish('var:1'), await publish('var:2')];
    await publish('gone:1');
    const text = (more: string) => `ARG V=1\n${more}FROM ${registry.host}/var:$V\n`;
    const context = makeContext({ Dockerfile: text(`FROM ${registry.host}/gone:1 AS gone\n`) });
    const store = emptyStore();
    await tbuildOk(['lock', context], { store });
    await tbuildOk(['lock', '--build-arg', 'V=2', context], { store });
    writeFileSync(path.join(context, 'Dockerfile'), text(''));
    const stale = await build(context, store, '--frozen');
    expect(stale).toMatchObject({ code: 3 });
    expect(stale.stderr).toContain(
      `error: Dockerfile.lock has ${registry.host}/gone:1, of which ${context}/Dockerfile says nothing`,
    );
    expect(stale.stderr).toContain(`hint: what is locked is out of date: tbuild lock ${context}`);
    expect((await build(context, store)).code).toBe(0);
    expect(await tbuildOk(['lock', context], { store })).toContain(`${registry.host}/gone:1  sha256:`);
    const images = lockOf(context).images as Record<string, { digest: string }>;
    expect(Object.values(images).map(({ digest }) => digest)).toEqual([one, two]);
    expect((await build(context, store, '--frozen', '--build-arg', 'V=2')).code).toBe(0);
  });

  it('locks images, repositories and URLs of --build-context', async () => {
    const digest = await publish('context:1');
    const commit = repositories.commit('b', { 'in-b': 'b' });
    const context = makeContext({ Dockerfile: 'FROM base\nCOPY --from=code / /code\nCOPY --from=page / /page\n' });
    const given = [`base=docker-image://${registry.host}/context:1`, `code=${server.url}/git/b.git`, `page=${server.url}/file`];
    const flags = given.flatMap((each) => ['--build-context', each]);
    const store = emptyStore();
    const refused = await build(context, store, '--frozen', ...flags);
    expect(refused.stderr).toContain(`error: ${registry.host}/context:1 is not locked: there is no Dockerfile.lock`);
    await tbuildOk(['lock', ...flags, context], { store });
    expect(lockOf(context)).toMatchObject({
      images: { [`${registry.host}/context:1`]: { digest } },
      git: { [`${server.url}/git/b.git`]: { commit, ref: 'refs/heads/main' } },
      contexts: {
        base: `${registry.host}/context:1`,
        code: `${server.url}/git/b.git`,
        page: `${server.url}/file`,
      },
    });
    repositories.commit('b', { 'in-b': 'other' });
    await publish('context:1');
    const out = path.join(context, 'out');
    const built = await build(context, store, '--frozen', ...flags, '-o', out);
    expect(built.code).toBe(0);
    expect(readFileSync(path.join(out, 'code/in-b'), 'utf8')).toBe('b');
    expect(
      (
        await build(
          context,
          store,
          '--frozen',
          ...flags.slice(2),
          '--build-context',
          `base=docker-image://${registry.host}/other:1`,
        )
      ).stderr,
    ).toContain(`${registry.host}/other:1 is not locked: it is not in Dockerfile.lock`);
  });

  it('takes what triggers of a base image name', async () => {
    const parent = `${registry.host}/trigger:1`;
    const named = copyBusybox('named-by-trigger:1');
    const from = makeContext({ Dockerfile: `FROM scratch\nCOPY Dockerfile /\nONBUILD COPY --from=${named} /bin/busybox /b\n` });
    await tbuildOk(['build', '-q', '--push', '-t', parent, from], { store: freshStore() });
    const context = makeContext({ Dockerfile: `FROM ${parent}\n` });
    const store = emptyStore();
    await tbuildOk(['lock', context], { store });
    expect(lockOf(context).onbuild).toEqual([named]);
    expect((await build(context, store, '--frozen')).code).toBe(0);
  });

  it('has nothing of what the Dockerfile fixes itself', async () => {
    const digest = await publish('fixed:1');
    const commit = repositories.commit('c', { c: 'c' });
    const text = `FROM ${registry.host}/fixed:1@${digest} AS a
ADD --checksum=${sha256('one')} ${server.url}/file /
ADD ${server.url}/git/c.git#${commit} /c
FROM a AS b
FROM scratch
COPY --from=b / /
`;
    const context = makeContext({ Dockerfile: text });
    const store = emptyStore();
    expect(await tbuildOk(['lock', context], { store })).toBe(
      `${path.join(context, 'Dockerfile.lock')}: there is nothing to lock\n`,
    );
    expect((await build(context, store, '--frozen')).code).toBe(0);
  });

  it('has images without a layer, too', async () => {
    const name = `${registry.host}/empty:1`;
    const from = makeContext({ Dockerfile: 'FROM scratch\nENV A=1\n' });
    await tbuildOk(['build', '-q', '--push', '-t', name, from], { store: freshStore() });
    const context = makeContext({ Dockerfile: `FROM ${name}\nCOPY Dockerfile /\n` });
    const store = emptyStore();
    await tbuildOk(['lock', context], { store });
    expect(Object.keys(lockOf(context).images ?? {})).toEqual([name]);
    expect((await build(context, store, '--frozen')).code).toBe(0);
  });

  it('keeps tokens that come with the command to itself', async () => {
    const url = `${server.url.replace('//', '//user:secret@')}/file`;
    const text = `FROM scratch
ARG T
ARG TARGETARCH
ADD ${url}?a=b&token=$T&arch=$TARGETARCH /
ADD ${url}?token=literal /plain
COPY --from=page /context /page
`;
    const context = makeContext({ Dockerfile: text });
    const flags = (token: string) => ['--build-arg', `T=${token}`, '--build-context', `page=${url}?x=${token}`];
    const arch = hostPlatform().architecture;
    await tbuildOk(['lock', ...flags('hidden'), context], { store: emptyStore() });
    const keys = [`${server.url}/file`, `${server.url}/file?a=b&arch=${arch}`, `${server.url}/file?token=literal`];
    expect(lockOf(context)).toEqual({
      version: 1,
      urls: Object.fromEntries(keys.map((key) => [key, { checksum: sha256('one') }])),
      contexts: { page: keys[0] },
    });
    const more = ['--build-arg', 'UNUSED=a', '--build-arg', 'SOURCE_DATE_EPOCH=0'];
    expect((await build(context, emptyStore(), '--frozen', ...flags('other'), ...more)).code).toBe(0);
  });

  it('goes beside the Dockerfile that -f names, and there must be one', async () => {
    await publish('beside:1');
    const context = makeContext({ 'docker/x.Dockerfile': `FROM ${registry.host}/beside:1\n` });
    const dockerfile = path.join(context, 'docker/x.Dockerfile');
    await tbuildOk(['lock', '-f', dockerfile, context], { store: emptyStore() });
    expect(existsSync(`${dockerfile}.lock`)).toBe(true);
    const { code, stderr } = await tbuild(['lock', '-f', '-', context], { input: 'FROM scratch\n' });
    expect(code).toBe(2);
    expect(stderr).toContain('a lock stands beside a Dockerfile');
  });

  it('cannot lock what only the store has, and says so where it is named', async () => {
    const context = makeContext({ Dockerfile: `FROM ${registry.host}/only-here:1\n` });
    const store = freshStore();
    await tbuildOk(['tag', 'busybox', `${registry.host}/only-here:1`], { store });
    const { code, stderr } = await tbuild(['lock', context], { store });
    expect(code).toBe(5);
    expect(stderr).toContain('>>> FROM');
    expect(stderr).toContain('hint: what only the store of this machine has cannot be locked: push it');
  });

  it('leaves a lock that cannot be written as it was', async () => {
    await publish('readonly:1');
    const context = makeContext({ Dockerfile: `FROM ${registry.host}/readonly:1\n`, 'Dockerfile.lock/x': '' });
    const { code, stderr } = await tbuild(['lock', context], { store: emptyStore() });
    expect(code).toBe(3);
    expect(stderr).toContain(`error: cannot read ${path.join(context, 'Dockerfile.lock')}: EISDIR`);
  });

  it('updates no name that it does not know', async () => {
    await publish('known:1');
    const context = makeContext({ Dockerfile: `FROM ${registry.host}/known:1\n` });
    const store = emptyStore();
    await tbuildOk(['lock', context], { store });
    const { code, stderr } = await tbuild(['lock', '--update', `${registry.host}/knwon:1`, context], { store });
    expect(code).toBe(2);
    expect(stderr).toContain(`hint: did you mean ${registry.host}/known:1?`);
  });
});

describe('a build beside a lock', () => {
  it('asks no registry for what is locked and here, and prefers it to what the store has under the name', async () => {
    const digest = await publish('here:1');
    const name = `${registry.host}/here:1`;
    const context = makeContext({ Dockerfile: `FROM ${name}\nCOPY Dockerfile /\n` });
    const store = freshStore();
    await tbuildOk(['lock', context], { store });
    await tbuildOk(['tag', 'busybox', name], { store });
    const first = await build(context, store);
    expect(first.code).toBe(0);
    expect(first.stderr).toContain(`FROM ${name}@${digest}`);
    await registry.kill();
    try {
      expect((await build(context, store, '--pull', '--frozen')).code).toBe(0);
    } finally {
      await registry.start();
    }
  });

  it('warns of what it does not have; --frozen refuses it at its place, and asks nobody', async () => {
    await publish('locked:1');
    const context = makeContext({ Dockerfile: `FROM ${registry.host}/locked:1\n` });
    const store = freshStore();
    await tbuildOk(['lock', context], { store });
    writeFileSync(
      path.join(context, 'Dockerfile'),
      `FROM busybox AS more\nFROM ${registry.host}/locked:1\nCOPY --from=more /bin /\n`,
    );
    const lock = readFileSync(path.join(context, 'Dockerfile.lock'), 'utf8');
    const loose = await build(context, store);
    expect(loose.code).toBe(0);
    expect(loose.stderr).toContain(
      'warning: Dockerfile.lock does not have busybox:latest, which is what it is now: tbuild lock adds it',
    );
    expect(readFileSync(path.join(context, 'Dockerfile.lock'), 'utf8')).toBe(lock);
    const frozen = await build(context, store, '--frozen');
    expect(frozen.code).toBe(3);
    expect(frozen.stderr).toContain('error: busybox:latest is not locked: it is not in Dockerfile.lock');
    expect(frozen.stderr).toContain('>>> FROM busybox AS more');
    expect(frozen.stderr).toContain(`hint: lock it with: tbuild lock ${context}`);
    expect((await build(context, store, '--check', '--frozen')).stderr).toContain('busybox:latest is not locked');
    writeFileSync(path.join(context, 'Dockerfile'), `FROM ${registry.host}/locked:1\nADD https://127.0.0.1:1/x /\n`);
    const url = await build(context, store, '--frozen');
    expect(url.stderr).toContain('error: https://127.0.0.1:1/x is not locked');
    expect(url.stderr).toContain('>>> ADD https://127.0.0.1:1/x /');
  });

  it('refuses a file that is another by now, and says how to take it', async () => {
    const context = makeContext({ Dockerfile: `FROM scratch\nADD ${server.url}/file /\n` });
    await tbuildOk(['lock', context], { store: emptyStore() });
    content = 'two';
    const { code, stderr } = await build(context, emptyStore());
    expect(code).toBe(4);
    expect(stderr).toContain(`error: digest mismatch for ${server.url}/file: ${sha256('two')} (expected: ${sha256('one')})`);
    expect(stderr).toContain(
      `hint: Dockerfile.lock says so; what there is now is locked by: tbuild lock --update ${server.url}/file ${context}`,
    );
  });

  it('says how to go on when the registry has dropped what is locked', async () => {
    const context = makeContext({ Dockerfile: `FROM ${registry.host}/dropped:1\n` });
    await publish('dropped:1');
    await tbuildOk(['lock', context], { store: emptyStore() });
    const at = path.join(context, 'Dockerfile.lock');
    writeFileSync(at, readFileSync(at, 'utf8').replace(/sha256:[0-9a-f]{64}/g, `sha256:${'0'.repeat(64)}`));
    const { code, stderr } = await build(context, emptyStore());
    expect(code).toBe(5);
    expect(stderr).toContain(
      `hint: Dockerfile.lock says so; what there is now is locked by: tbuild lock --update ${registry.host}/dropped:1`,
    );
  });

  it('says how to go on when a commit is gone', async () => {
    repositories.commit('gone', { a: 'a' });
    const url = `${server.url}/git/gone.git#main`;
    const context = makeContext({ Dockerfile: `FROM scratch\nADD ${url} /\n` });
    await tbuildOk(['lock', context], { store: emptyStore() });
    repositories.git('gone', 'commit', '-q', '--amend', '--message=other');
    repositories.git('gone', '-C', path.join(repositories.root, 'gone.git'), 'gc', '-q', '--prune=now');
    const { code, stderr } = await build(context, emptyStore());
    expect(code).toBe(4);
    expect(stderr).toContain(
      `hint: Dockerfile.lock says so; what there is now is locked by: tbuild lock --update ${url} ${context}`,
    );
  });

  it('has a branch of any name', async () => {
    const commit = repositories.commit('named', { a: 'a' });
    repositories.git('named', 'branch', 'größe/x@y');
    const context = makeContext({ Dockerfile: `FROM scratch\nADD ${server.url}/git/named.git#gr%C3%B6%C3%9Fe/x@y /\n` });
    await tbuildOk(['lock', context], { store: emptyStore() });
    expect(Object.values(lockOf(context).git ?? {})).toEqual([{ commit, ref: 'refs/heads/größe/x@y' }]);
    expect((await build(context, emptyStore(), '--frozen')).code).toBe(0);
  });

  it('says in its provenance what it took', async () => {
    const digest = await publish('proven:1');
    const context = makeContext({ Dockerfile: `FROM ${registry.host}/proven:1\nCOPY Dockerfile /\n` });
    const store = emptyStore();
    await tbuildOk(['lock', context], { store });
    const out = path.join(context, 'out');
    await tbuildOk(['build', '-q', '--provenance=true', '-o', out, context], { store });
    const statement = JSON.parse(readFileSync(path.join(out, 'provenance.json'), 'utf8')) as {
      predicate: { buildDefinition: { resolvedDependencies: { uri: string; digest: object }[] } };
    };
    const [dependency] = statement.predicate.buildDefinition.resolvedDependencies;
    expect(dependency?.uri).toContain(`proven@1?digest=${digest}&platform=linux%2Famd64`);
    expect(dependency?.digest).toEqual({ sha256: digest.slice(7) });
  });

  it.each([
    ['<<<<<<< ours\n{}\n=======\n', 'is not JSON', 'take one side of the merge, and tbuild lock adds what is missing'],
    ['{"version": 2}', 'Dockerfile.lock is of version 2: this tbuild reads version 1', ''],
    ['{"version": 1, "images": {"debian": {}}}', 'images, "debian" is no full name', 'remove the file'],
    [
      '{"version": 1, "images": {"h.io/a:1": {"digest": "sha256:x"}}}',
      'images, h.io/a:1, digest is not a sha256 digest',
      'remove the file',
    ],
    ['{"version": 1, "git": {"a": {"commit": "--upload-pack=x"}}}', 'git, a, commit is no whole commit', 'remove the file'],
    [`{"version": 1, "git": {"a": {"commit": "${'0'.repeat(40)}", "ref": "--x"}}}`, 'git, a, ref is no ref', 'remove the file'],
  ])('%j is an error', async (lock, message, hint) => {
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n', 'Dockerfile.lock': lock });
    const { code, stderr } = await build(context, emptyStore());
    expect(code).toBe(3);
    expect(stderr).toContain(message);
    expect(stderr).toContain(hint);
  });
});
