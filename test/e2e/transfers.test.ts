// Transfers that meet or are cut off, with processes and registries that are really killed: what one process fetches another does not fetch, and what
// was under way goes on.

import { spawn } from 'node:child_process';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { configOf, digestOf, layerOf } from '../support/archives.ts';
import { makeContext } from '../support/contexts.ts';
import { startDockerRegistry } from '../support/docker-registry.ts';
import { type Act, type FaultyRegistry, serveFaulty, stall } from '../support/faulty-registry.ts';
import { startRegistryProxy } from '../support/registry-proxy.ts';
import { emptyStore, freshStore } from '../support/stores.ts';
import { repository, tbuild, tbuildOk } from '../support/tbuild.ts';

let registry: FaultyRegistry;
/** Of the layers, bottom first. */
let digests: string[];
beforeAll(async () => {
  registry = await serveFaulty();
  const tars = await Promise.all(['one', 'two', 'three'].map((name) => layerOf(name, name.repeat(50_000))));
  const put = (bytes: Buffer, mediaType: string) => {
    registry.contents.set(`/v2/app/blobs/${digestOf(bytes)}`, { bytes, mediaType });
    return { mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  const oci = 'application/vnd.oci.image';
  const layers = tars.map((tar) => put(gzipSync(tar), `${oci}.layer.v1.tar+gzip`));
  const config = put(Buffer.from(configOf(tars)), `${oci}.config.v1+json`);
  const mediaType = `${oci}.manifest.v1+json`;
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
  registry.contents.set('/v2/app/manifests/1', { bytes, mediaType });
  digests = layers.map(({ digest }) => digest);
});
beforeEach(() => registry.setFaults());

const fetched = () => registry.log.filter((line) => line.startsWith('GET') && digests.some((digest) => line.includes(digest)));
const name = () => `${registry.host}/app:1`;

describe('two pulls of the same image', () => {
  it('fetch each layer once', async () => {
    const store = emptyStore();
    registry.setFaults({ on: /^GET .*blobs/, act: (_, __, answer) => setTimeout(answer, 700) });
    const pulled = await Promise.all([1, 2, 3].map(() => tbuildOk(['pull', '-q', name()], { store })));
    expect(new Set(pulled).size).toBe(1);
    expect(fetched().sort()).toEqual(digests.map((digest) => `GET /v2/app/blobs/${digest} 200`).sort());
    expect(await tbuildOk(['fsck'], { store })).toContain('no problems');
  });

  it('of which one hangs and is killed end with the other', async () => {
    const store = emptyStore();
    let stalled = 0;
    const hang: Act = (...request) => {
      stalled++;
      stall(20)(...request);
    };
    registry.setFaults({ on: new RegExp(`^GET .*(${digests.join('|')})`), act: hang, times: digests.length });
    const first = spawn(path.join(repository, 'bin/tbuild'), ['pull', name()], {
      env: { ...process.env, TBUILD_ROOT: store },
      stdio: 'ignore',
    });
    const ended = new Promise((resolve) => first.once('close', resolve));
    await until(() => stalled === digests.length);
    let isPulled = false;
    const second = tbuildOk(['pull', '-q', name()], { store }).then(() => {
      isPulled = true;
    });
    await until(() => registry.log.filter((line) => line.includes('GET /v2/app/manifests')).length === 2);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(isPulled).toBe(false);
    first.kill('SIGKILL');
    await ended;
    await second;
    expect(fetched()).toHaveLength(2 * digests.length);
    expect(await tbuildOk(['fsck'], { store })).toContain('no problems');
  });
});

it('a push that the registry’s end cut off in the middle of a layer goes on when it is there again', async () => {
  const docker = await startDockerRegistry();
  const proxy = await startRegistryProxy(docker.host);
  const store = freshStore();
  const wanted = `${proxy.host}/large:1`;
  const context = makeContext({ Dockerfile: 'FROM busybox\nRUN head -c 60000000 /dev/urandom > /large\n' });
  await tbuildOk(['-q', '-t', wanted, context], { store });
  const pushing = tbuild(['push', wanted], { store });
  await until(() => proxy.sentBytes > 8_000_000);
  await docker.kill();
  await docker.start();
  expect(await pushing).toMatchObject({ code: 0, stderr: '' });
  expect(await tbuildOk(['run', '--rm', wanted, 'wc', '-c', '/large'], { store: emptyStore() })).toBe('60000000 /large\n');
}, 120_000);

async function until(isSo: () => boolean): Promise<void> {
  for (let waited = 0; !isSo() && waited < 20_000; waited += 5) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(isSo()).toBe(true);
}
