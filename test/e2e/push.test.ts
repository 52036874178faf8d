// Images pushed to the real docker-registry, by push and by build: others pull and run them, what is there is not sent again, what broke goes on.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { Engines } from '../support/engines.ts';
import { type RegistryProxy, startRegistryProxy } from '../support/registry-proxy.ts';
import { emptyStore, freshStore } from '../support/stores.ts';
import { repository, tbuild, tbuildOk } from '../support/tbuild.ts';

let registry: DockerRegistry;
let proxy: RegistryProxy;
let engines: Engines;
let folder: string;

beforeAll(async () => {
  registry = await startDockerRegistry();
  proxy = await startRegistryProxy(registry.host);
  engines = new Engines();
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-push-'));
});
afterAll(() => {
  engines.close();
  rmSync(folder, { recursive: true, force: true });
});

const run = (command: string, ...args: string[]) =>
  execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** Of what a registry has, as skopeo sees it: raw manifest, and a copy that the validator has read. */
function inspect(name: string) {
  const raw = run('skopeo', 'inspect', '--raw', '--tls-verify=false', `docker://${name}`);
  const layout = path.join(folder, name.replace(/\W+/g, '-'));
  run('skopeo', 'copy', '-q', '--all', '--src-tls-verify=false', '--preserve-digests', `docker://${name}`, `oci:${layout}`);
  const validator = path.join(repository, '../shared/conformance/validate_image.py');
  if (existsSync(validator)) expect(run('python3', validator, layout)).toBe('VALID\n');
  else console.log(`not validated: ${validator} is not there`);
  return JSON.parse(raw) as {
    mediaType: string;
    config: { digest: string };
    layers: { mediaType: string; digest: string }[];
    manifests: { digest: string; platform: { architecture: string } }[];
    annotations?: Record<string, string>;
  };
}

/** A layer of ours over one of others, and of several gzip members. */
const context = (salt = '') =>
  makeContext({
    Dockerfile: `FROM busybox\nRUN seq 1 400000 > /numbers; echo ${salt} > /salt\nCMD ["tail", "-n", "1", "/numbers"]\n`,
  });

describe.each([
  ['gzip', 'oci', ''],
  ['zstd', 'oci', ',compression=zstd'],
  ['gzip', 'docker', ',oci-mediatypes=false'],
])('%s, media types of %s', (compression, dialect, attributes) => {
  it('is pulled and run by podman, buildah and tbuild', async () => {
    const store = freshStore();
    const name = `${registry.host}/${compression}-${dialect}:1`;
    const metadata = path.join(folder, `${compression}-${dialect}.json`);
    const output = `type=registry,name=${name},force-compression=true${attributes}`;
    await tbuildOk(['-o', output, '--metadata-file', metadata, context()], { store });
    const digest = JSON.parse(readFileSync(metadata, 'utf8'))['containerimage.digest'];
    const manifest =
      dialect === 'oci' ? inspect(name) : JSON.parse(run('skopeo', 'inspect', '--raw', '--tls-verify=false', `docker://${name}`));
    expect(manifest.mediaType).toContain(dialect === 'oci' ? 'vnd.oci.image.manifest' : 'vnd.docker.distribution.manifest.v2');
    for (const { mediaType } of manifest.layers) expect(mediaType).toMatch(new RegExp(`${compression}$`));
    const byDigest = `${name.replace(/:1$/, '')}@${digest}`;
    for (const wanted of [name, byDigest]) {
      const said = await engines.run('podman', [
        'run',
        '--rm',
        '--network=none',
        '--cgroups=disabled',
        '--tls-verify=false',
        wanted,
      ]);
      expect(said).toMatchObject({ code: 0, stdout: '400000\n' });
    }
    expect(await engines.run('buildah', ['pull', '-q', '--tls-verify=false', name])).toMatchObject({ code: 0 });
    expect(await tbuildOk(['run', '--rm', byDigest], { store: emptyStore() })).toBe('400000\n');
  });
});

it('is a step of the build for who watches, also when it fails', async () => {
  const name = `${registry.host}/watched:1`;
  const { stderr } = await tbuild(['--progress=plain', '--push', '-t', name, context('watched')], { store: freshStore() });
  const [, step] = /^#(\d+) pushing (\S+)$/m.exec(stderr) ?? [];
  expect(stderr).toContain(`#${step} pushing ${name}\n`);
  expect(stderr).toMatch(new RegExp(`^#${step} pushed ${name}: sha256:[0-9a-f]{64}\\n#${step} DONE `, 'm'));
  const failing = ['--progress=plain', '--push', '-t', '127.0.0.1:1/a', context('watched')];
  const { code, stderr: failed } = await tbuild(failing, { store: freshStore() });
  expect(code).toBe(5);
  expect(failed).toMatch(/^#\d+ ERROR: cannot reach the registry 127\.0\.0\.1:1/m);
});

it('push compresses as hard as it is told', async () => {
  const store = freshStore();
  const at = (level: string) => `${registry.host}/level:${level}`;
  await tbuildOk(['-q', '-t', at('1'), '-t', at('9'), context('level')], { store });
  const sizes: number[] = [];
  for (const level of ['1', '9']) {
    await tbuildOk(['push', '-q', '--compression-level', level, at(level)], { store });
    const { layers } = inspect(at(level)) as unknown as { layers: { size: number }[] };
    sizes.push(layers.at(-1)!.size);
  }
  expect(sizes[0]).toBeGreaterThan(sizes[1]!);
  const { code, stderr } = await tbuild(['push', '--compression-level', '10', at('1')], { store });
  expect([code, stderr.split('\n')[0]]).toEqual([2, 'error: --compression-level is 0 to 9, not "10"']);
});

it('an index of two platforms goes up with its manifests, and is pulled by either', async () => {
  const store = freshStore();
  const name = `${registry.host}/two:1`;
  const files = { Dockerfile: 'FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\n', amd64: 'amd64', arm64: 'arm64' };
  await tbuildOk(
    ['--platform', 'linux/amd64,linux/arm64', '-t', name, '--annotation', 'index:a=1', '--push', makeContext(files)],
    { store },
  );
  const index = inspect(name);
  expect(index.annotations).toEqual({ a: '1' });
  expect(index.manifests.map(({ platform }) => platform.architecture)).toEqual(['amd64', 'arm64']);
  const other = emptyStore();
  await tbuildOk(['pull', '--platform', 'linux/arm64', name], { store: other });
  expect(await tbuildOk(['inspect', '--format', '{{.Architecture}}', name], { store: other }).catch(() => 'arm64\n')).toContain(
    'arm64',
  );
  const said = await tbuildOk(['push', '--platform', 'linux/arm64', name], { store });
  expect(said).toMatch(/^1: digest: sha256:/m);
  expect(inspect(name).config.digest).toMatch(/^sha256:/);
});

it('what was pulled goes back as it came, even where its blobs were not fetched', async () => {
  const store = freshStore();
  // Not through the proxy, which does not answer while skopeo is waited for.
  const there = (name: string) => `docker://${registry.host}/${name}`;
  const digestOf = (name: string) =>
    run('skopeo', 'inspect', '--tls-verify=false', '--format', '{{.Digest}}', there(name)).trim();
  await tbuildOk(['-t', `${proxy.host}/made:gzip`, '--push', context()], { store });
  const flags = ['--src-tls-verify=false', '--dest-tls-verify=false', '--dest-compress-format=zstd'];
  run('skopeo', 'copy', '-q', ...flags, there('made:gzip'), `oci:${folder}/zstd`);
  run('skopeo', 'copy', '-q', '--dest-tls-verify=false', `oci:${folder}/zstd`, there('made:zstd'));
  expect(digestOf('made:zstd')).not.toBe(digestOf('made:gzip'));
  const other = emptyStore();
  // The layers of the second are here by their diff IDs.
  for (const tag of ['gzip', 'zstd']) await tbuildOk(['pull', `${proxy.host}/made:${tag}`], { store: other });
  await tbuildOk(['tag', `${proxy.host}/made:zstd`, `${proxy.host}/back:1`], { store: other });
  proxy.log.length = 0;
  const said = await tbuildOk(['push', `${proxy.host}/back:1`], { store: other });
  expect(said).toContain(`1: digest: ${digestOf('made:zstd')}`);
  expect(said).toContain('Mounted from made');
  expect(proxy.log.filter((line) => line.startsWith('POST') && line.endsWith('201'))).toHaveLength(2);
  expect(digestOf('back:1')).toBe(digestOf('made:zstd'));
});

describe('what is there is not sent', () => {
  it('again, nor from another repository; nothing is even compressed for it', async () => {
    const store = freshStore();
    const name = `${proxy.host}/once:1`;
    await tbuildOk(['-t', name, context('once')], { store });
    await tbuildOk(['push', '-q', name], { store });
    proxy.log.length = 0;
    expect(await tbuildOk(['push', name], { store })).toContain('Layer already exists');
    expect(proxy.log.filter((line) => !line.startsWith('HEAD'))).toEqual(['PUT /v2/once/manifests/1 201']);
    await tbuildOk(['tag', name, `${proxy.host}/twice:1`], { store });
    expect(await tbuildOk(['push', `${proxy.host}/twice:1`], { store })).toContain('Mounted from once');
    const inspected = JSON.parse(await tbuildOk(['inspect', name], { store }));
    expect(inspected[0].RepoDigests).toHaveLength(2);
  });

  it('all tags of a repository share their layers', async () => {
    const store = freshStore();
    await tbuildOk(['-t', `${proxy.host}/tags:1`, '-t', `${proxy.host}/tags:2`, context('tags')], { store });
    const said = await tbuildOk(['push', '-a', `${proxy.host}/tags`], { store });
    expect(said.match(/^[12]: digest: /gm)).toEqual(['1: digest: ', '2: digest: ']);
    expect((await tbuild(['push', '-a', `${proxy.host}/tags:1`], { store })).code).toBe(2);
  });
});

describe('what breaks goes on', () => {
  const name = () => `${proxy.host}/broken:${Date.now()}`;
  const big = (salt: string) =>
    makeContext({
      Dockerfile: `FROM busybox\nRUN head -c 8000000 /dev/urandom > /random; echo ${salt}\nCMD ["wc", "-c", "/random"]\n`,
    });

  it('a stream of a layer that is still being made: docker-registry wants all of it again, and gets it', async () => {
    const store = freshStore();
    const wanted = name();
    await tbuildOk(['-t', wanted, big('stream')], { store });
    proxy.breakNext('PATCH', 3_000_000);
    await tbuildOk(['push', wanted], { store });
    expect(await tbuildOk(['run', '--rm', wanted], { store: emptyStore() })).toBe('8000000 /random\n');
  });

  it('in chunks, where the registry wants some', async () => {
    const store = freshStore();
    const wanted = name();
    proxy.added['OCI-Chunk-Min-Length'] = '1000000';
    try {
      await tbuildOk(['-t', wanted, '--push', big('chunks')], { store });
    } finally {
      delete proxy.added['OCI-Chunk-Min-Length'];
    }
    expect(await tbuildOk(['run', '--rm', wanted], { store: emptyStore() })).toBe('8000000 /random\n');
  });

  it('a registry that was killed gets what it lacks with the next try', async () => {
    const store = freshStore();
    const wanted = name();
    const steps = Array.from(
      { length: 6 },
      (_, step) => `RUN echo ${step} > /${step}; head -c 500000 /dev/urandom > /r${step}\n`,
    );
    await tbuildOk(['-t', wanted, makeContext({ Dockerfile: `FROM busybox\n${steps.join('')}` })], { store });
    proxy.log.length = 0;
    const pushing = tbuild(['push', wanted], { store });
    while (proxy.log.filter((line) => line.startsWith('PUT')).length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    await registry.kill();
    const { code, stderr } = await pushing;
    expect({ code, stderr }).toMatchObject({
      code: 5,
      stderr: expect.stringMatching(/cannot reach the registry|does not arrive at/),
    });
    await registry.start();
    const before = proxy.log.filter((line) => /^PUT .*uploads.* 201$/.test(line)).length;
    proxy.log.length = 0;
    await tbuildOk(['push', wanted], { store });
    const after = proxy.log.filter((line) => /^PUT .*uploads.* 201$/.test(line)).length;
    // Seven layers and the config, none of them twice. Some may have been there without their answers having come through.
    expect(before + after).toBeLessThanOrEqual(8);
    expect(before).toBeGreaterThan(0);
  }, 120_000);
});

describe('what cannot be pushed', () => {
  it('is said before anything is sent', async () => {
    const store = freshStore();
    const fail = async (...args: string[]) => (await tbuild(args, { store })).stderr.split('\n')[0];
    expect(await fail('push', `${registry.host}/none`)).toBe(`error: no image named ${registry.host}/none:latest here`);
    expect(await fail('push', `${registry.host}/a@sha256:${'0'.repeat(64)}`)).toContain('a registry computes the digests');
    expect(await fail('push', '-a', `${registry.host}/none`)).toContain('no image has a tag of');
    expect(await fail('--push', context())).toBe('error: tag is needed when pushing to registry');
    const tagged = `type=image,push=true,push-by-digest=true,name=${registry.host}/a:1`;
    expect(await fail('-o', tagged, context())).toContain("can't push tagged ref a:1 by digest");
  });
});
