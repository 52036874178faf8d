// Images pulled from the real docker-registry, and pushed there by others: every combination of formats comes in as the same image, and runs.

import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { makeBaseImages } from '../../setup/base-images.ts';
import { makeContext } from '../support/contexts.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { emptyStore } from '../support/stores.ts';
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
    expect(await tbuildOk(['run', '--pull', 'never', name, 'echo', 'hello'], { store })).toBe('hello\n');
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
  const { stdout, stderr, code } = await tbuild(['run', name, 'echo', 'hello'], { store });
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'hello\n' });
  expect(stderr).toContain(`Unable to find image '${name}' locally\n1: Pulling from run\n`);
  expect((await tbuild(['run', '--pull=never', `${registry.host}/run:2`], { store })).stderr).toContain('no image named');
  expect((await tbuild(['run', '--pull=always', '-q', name, 'true'], { store })).code).toBe(0);
});

it('a name that is not there leaves nothing', async () => {
  const store = emptyStore();
  push('there:1');
  const { code, stderr } = await tbuild(['pull', `${registry.host}/there:2`], { store });
  expect({ code, stderr }).toEqual({ code: 5, stderr: `error: ${registry.host}/there:2: not found\n` });
  expect(readdirSync(`${store}/tmp`).filter((file) => !file.startsWith('.'))).toEqual([]);
  expect(await tbuildOk(['images', '-q'], { store })).toBe('');
});
