// Images pulled from the real docker-registry, and pushed there by others: every combination of formats comes in as the same image, and runs.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { makeBaseImages } from '../../setup/base-images.ts';
import { makeContext } from '../support/contexts.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { asOwner, removeTree } from '../support/own-files.ts';
import { emptyStore, freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

let registry: DockerRegistry;
let layout: string;

beforeAll(async () => {
  registry = await startDockerRegistry();
  const images = await makeBaseImages(() => {});
  layout = images.find(({ names }) => names.includes('busybox:latest'))?.layout as string;
}, 120_000);

/** Pushed by skopeo, with its flags. */
function push(name: string, ...flags: string[]): string {
  execFileSync('skopeo', [
    'copy',
    '-q',
    '--dest-tls-verify=false',
    ...flags,
    `oci:${layout}`,
    `docker://${registry.host}/${name}`,
  ]);
  return `${registry.host}/${name}`;
}

describe.each([
  ['OCI, gzip', ['--format', 'oci']],
  ['OCI, zstd', ['--format', 'oci', '--dest-compress-format', 'zstd']],
  ['docker, gzip', ['--format', 'v2s2']],
])('%s', (title, flags) => {
  it('is pulled, and runs', async () => {
    const store = emptyStore();
    const name = push(`busybox:${title.replace(/\W+/g, '-').toLowerCase()}`, ...flags);
    const said = await tbuildOk(['pull', name], { store });
    expect(said).toMatch(/Digest: sha256:[0-9a-f]{64}\nStatus: Downloaded newer image for /);
    expect(await tbuildOk(['run', '--rm', '--pull', 'never', name, 'echo', 'hello'], { store })).toBe('hello\n');
    expect(await tbuildOk(['fsck'], { store })).toContain('no problems');
  });
});

it('FROM and COPY --from pull what is missing, once', async () => {
  const store = emptyStore();
  const name = push('base:1');
  const context = makeContext({
    Dockerfile: `FROM ${name}\nCOPY --from=${push('other:1')} /bin/busybox /other\nRUN test -x /other\n`,
  });
  const { code, stderr } = await tbuild(['build', '--progress=plain', '-t', 'app', context], { store });
  expect(stderr).toMatch(new RegExp(`resolve ${name}@sha256:[0-9a-f]{64}`));
  expect(code).toBe(0);
  await registry.kill();
  try {
    const again = await tbuild(['build', '--progress=plain', '-t', 'app', context], { store });
    expect(again.code).toBe(0);
    expect(again.stderr).toContain('CACHED');
    expect((await tbuild(['build', '--pull', context], { store })).stderr).toContain(
      `cannot reach the registry ${registry.host}`,
    );
  } finally {
    await registry.start();
  }
  expect((await tbuild(['build', '--pull', context], { store })).code).toBe(0);
});

it('run pulls what is missing, as docker run says it', async () => {
  const store = emptyStore();
  const name = push('run:1');
  const { stdout, stderr, code } = await tbuild(['run', '--rm', name, 'echo', 'hello'], { store });
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'hello\n' });
  expect(stderr).toContain(`Unable to find image '${name}' locally\n1: Pulling from run\n`);
  expect((await tbuild(['run', '--rm', '--pull=never', `${registry.host}/run:2`], { store })).stderr).toContain('no image named');
  expect((await tbuild(['run', '--rm', '--pull=always', '-q', name, 'true'], { store })).code).toBe(0);
});

it('a name that is not there leaves nothing', async () => {
  const store = emptyStore();
  push('there:1');
  const { code, stderr } = await tbuild(['pull', `${registry.host}/there:2`], { store });
  expect({ code, stderr }).toEqual({ code: 5, stderr: `error: ${registry.host}/there:2: not found\n` });
  expect(readdirSync(`${store}/tmp`).filter((file) => !file.startsWith('.'))).toEqual([]);
  expect(await tbuildOk(['images', '-q'], { store })).toBe('');
});

describe('an index of two platforms', () => {
  const platforms = ['linux/amd64', 'linux/arm64'];
  let name: string;
  let digest: string;

  beforeAll(async () => {
    const store = emptyStore();
    const context = makeContext({ Dockerfile: 'FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /from\nLABEL arch=$TARGETARCH\n' });
    await tbuildOk(['build', '-q', '--platform', platforms.join(), '-t', 'two', context], { store });
    await tbuildOk(['save', '--format', 'oci', '-o', `${store}/two.tar`, 'two'], { store });
    name = `${registry.host}/two:1`;
    asOwner('skopeo', ['copy', '-q', '--all', '--dest-tls-verify=false', `oci-archive:${store}/two.tar`, `docker://${name}`]);
    const raw = execFileSync('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${name}`]);
    digest = `sha256:${createHash('sha256').update(raw).digest('hex')}`;
  }, 120_000);

  const archOf = async (store: string, ...args: string[]) =>
    JSON.parse(await tbuildOk(['inspect', ...args], { store }))[0].Config.Labels.arch;

  it('gives the image for one; the other joins it under the same name', async () => {
    const store = emptyStore();
    expect(await tbuildOk(['pull', '--platform', 'linux/arm64', name], { store })).toContain(`Digest: ${digest}\n`);
    expect(await archOf(store, name)).toBe('arm64');
    expect(await tbuildOk(['pull', name], { store })).toContain('Downloaded newer image');
    expect(await archOf(store, '--platform', 'linux/arm64', name)).toBe('arm64');
    expect(await archOf(store, '--platform', 'linux/amd64', name)).toBe('amd64');
    expect((await tbuildOk(['images', '--digests'], { store })).match(new RegExp(`two +1 +${digest} `, 'g'))).toHaveLength(1);
    expect(JSON.parse(await tbuildOk(['inspect', name], { store }))[0].RepoDigests).toEqual([`${registry.host}/two@${digest}`]);
    expect(await tbuildOk(['rmi', name], { store })).toContain(`Untagged: ${registry.host}/two@${digest}\n`);
    expect(await tbuildOk(['images', '-q'], { store })).toBe('');
    expect(await tbuildOk(['fsck'], { store })).toMatch(/checked 0 images, 0 layers, 0 blobs: no problems/);
  });

  it('is found by its digest, with a tag or without, and not asked for again', async () => {
    const store = emptyStore();
    await tbuildOk(['pull', `${registry.host}/two@${digest}`], { store });
    expect(await tbuildOk(['images', '--digests'], { store })).toMatch(new RegExp(`two +<none> +${digest}`));
    const context = makeContext({ Dockerfile: `FROM ${registry.host}/two:1@${digest}\n` });
    await registry.kill();
    try {
      expect((await tbuild(['build', '-q', context], { store })).code).toBe(0);
    } finally {
      await registry.start();
    }
  });

  it('is built upon for both', async () => {
    const store = emptyStore();
    const context = makeContext({ Dockerfile: `FROM ${name}\nCOPY Dockerfile /more\n` });
    await tbuildOk(['build', '-q', '--platform', platforms.join(), '-t', 'more', context], { store });
    for (const arch of ['amd64', 'arm64']) expect(await archOf(store, '--platform', `linux/${arch}`, 'more')).toBe(arch);
    await registry.kill();
    try {
      await tbuildOk(['build', '-q', '--platform', platforms.join(), '-t', 'more', context], { store });
    } finally {
      await registry.start();
    }
  });

  it('is itself again when all of it has been pulled, and goes out with its digest and what is said beside it', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' });
    const said = `${registry.host}/said:1`;
    const flags = ['--platform', platforms.join(), '--provenance', 'true', '--push', '-t', said, context];
    await tbuildOk(['build', '-q', ...flags], { store: freshStore() });
    const store = emptyStore();
    const rawOf = (image: string) => execFileSync('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${image}`]);
    for (const [from, to] of [
      [name, 'again/two:1'],
      [said, 'again/said:1'],
    ]) {
      for (const platform of platforms) await tbuildOk(['pull', '-q', '--platform', platform, from!], { store });
      await tbuildOk(['tag', from!, `${registry.host}/${to}`], { store });
      await tbuildOk(['push', '-q', `${registry.host}/${to}`], { store });
      expect(rawOf(`${registry.host}/${to}`)).toEqual(rawOf(from!));
    }
    expect(await tbuildOk(['fsck'], { store })).toContain('no problems');
  });

  it('has none for others', async () => {
    const { code, stderr } = await tbuild(['pull', '--platform', 'linux/s390x', name], { store: emptyStore() });
    expect({ code, stderr }).toMatchObject({
      code: 6,
      stderr: expect.stringContaining('has no image for linux/s390x: it has linux/'),
    });
  });
});

it('--all-tags pulls all that are images', async () => {
  const store = emptyStore();
  for (const tag of ['a', 'b']) push(`tags:${tag}`);
  expect((await tbuildOk(['pull', '-a', '-q', `${registry.host}/tags`], { store })).trim().split('\n').sort()).toEqual([
    `${registry.host}/tags:a`,
    `${registry.host}/tags:b`,
  ]);
  expect((await tbuild(['pull', '-a', `${registry.host}/tags:a`], { store })).code).toBe(2);
});

it.each([
  ['podman', ['push', '-q', '--tls-verify=false']],
  ['buildah', ['push', '-q', '--tls-verify=false', '--format', 'v2s2']],
])('what %s pushes runs here', async (tool, flags) => {
  const store = emptyStore();
  const place = mkdtempSync(path.join(tmpdir(), 'tbuild-pushers-'));
  await tbuildOk(['save', '-o', `${place}/busybox.tar`, 'busybox'], { store: freshStore() });
  const own = ['--root', `${place}/root`, '--runroot', `${place}/run`, '--storage-driver', 'vfs'];
  try {
    const id = execFileSync(tool, [...own, 'pull', '-q', `docker-archive:${place}/busybox.tar`], { encoding: 'utf8' }).trim();
    execFileSync(tool, [...own, ...flags, id, `docker://${registry.host}/by/${tool}:1`], { stdio: 'ignore' });
  } finally {
    removeTree(place);
  }
  const name = `${registry.host}/by/${tool}:1`;
  expect((await tbuild(['run', '--rm', '-q', name, 'echo', 'hello'], { store })).stdout).toBe('hello\n');
});

it('a pull that the registry’s end cut off goes on where it was', async () => {
  const store = emptyStore();
  const context = makeContext({ Dockerfile: 'FROM busybox\nRUN head -c 30000000 /dev/urandom > /large\n' });
  const builder = freshStore();
  await tbuildOk(['build', '-q', '-t', 'large', context], { store: builder });
  await tbuildOk(['save', '--format', 'oci', '-o', `${builder}/large.tar`, 'large'], { store: builder });
  const name = `${registry.host}/large:1`;
  asOwner('skopeo', ['copy', '-q', '--dest-tls-verify=false', `oci-archive:${builder}/large.tar`, `docker://${name}`]);
  const pulling = tbuild(['pull', name], { store });
  await until(() => filesBelow(`${store}/tmp`).some((file) => file.endsWith('/blob')));
  await registry.kill();
  await new Promise((resolve) => setTimeout(resolve, 300));
  await registry.start();
  expect(await pulling).toMatchObject({ code: 0, stderr: '' });
  expect(await tbuildOk(['fsck'], { store })).toContain('no problems');
});

async function until(isSo: () => boolean): Promise<void> {
  for (let waited = 0; !isSo() && waited < 20_000; waited += 5) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** None where something comes and goes meanwhile, or is closed. */
function filesBelow(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' });
  } catch {
    return [];
  }
}
