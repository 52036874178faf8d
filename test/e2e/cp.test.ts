// Images from registries and layouts to others, without a store: digests stay, and the validator and skopeo read what was written.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { archiveOf, layerOf, oldDockerArchive } from '../support/archives.ts';
import { makeContext } from '../support/contexts.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { asOwner } from '../support/own-files.ts';
import { emptyStore } from '../support/stores.ts';
import { repository, tbuild, tbuildOk } from '../support/tbuild.ts';

let first: DockerRegistry;
let second: DockerRegistry;
let folder: string;
let name: string;

beforeAll(async () => {
  [first, second] = await Promise.all([startDockerRegistry(), startDockerRegistry()]);
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-cp-test-'));
  name = `${first.host}/app:1`;
  const files = { Dockerfile: 'FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\n', amd64: 'amd64', arm64: 'arm64' };
  const platforms = ['--platform', 'linux/amd64,linux/arm64'];
  await tbuildOk([...platforms, '-t', name, '--push', makeContext(files)], { store: emptyStore() });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const at = (file: string) => path.join(folder, file);
const rawOf = (image: string) => execFileSync('skopeo', ['inspect', '--raw', '--tls-verify=false', image], { encoding: 'utf8' });
const cp = (...args: string[]) => tbuildOk(['cp', ...args], { store: '/nowhere' });

it('copies an index through registries, a folder and an archive', async () => {
  const whole = rawOf(`docker://${name}`);
  await cp('--all', name, `docker://${second.host}/copy:1`);
  expect(rawOf(`docker://${second.host}/copy:1`)).toBe(whole);
  await cp('--all', `${second.host}/copy:1`, `oci:${at('layout')}:one`);
  const validator = path.join(repository, '../shared/conformance/validate_image.py');
  if (existsSync(validator)) expect(execFileSync('python3', [validator, at('layout')], { encoding: 'utf8' })).toBe('VALID\n');
  else console.log(`not validated: ${validator} is not there`);
  await cp('-a', `oci:${at('layout')}:one`, `oci-archive:${at('archive.tar')}:two`);
  const said = await cp('-a', `oci-archive:${at('archive.tar')}:two`, `${first.host}/back/again:2`);
  expect(said).toMatch(/again:2: digest: sha256:\w{64} size: \d+\n$/);
  expect(rawOf(`docker://${first.host}/back/again:2`)).toBe(whole);
  asOwner('skopeo', ['copy', '-q', `oci-archive:${at('archive.tar')}:two`, `dir:${at('dir')}`]);
});

it('copies the image for one platform', async () => {
  await cp('--platform', 'linux/arm64', name, `oci:${at('one')}:arm`);
  const [entry] = JSON.parse(readFileSync(at('one/index.json'), 'utf8')).manifests;
  expect(entry.digest).toBe(JSON.parse(rawOf(`docker://${name}`)).manifests[1].digest);
  await cp(`oci:${at('one')}:arm`, `${second.host}/arm`);
  expect(JSON.parse(rawOf(`docker://${second.host}/arm`)).config.digest).toMatch(/^sha256:/);
});

/** No socket but those that a test means. */
const nowhere = { DOCKER_HOST: undefined, CONTAINER_HOST: undefined, XDG_RUNTIME_DIR: undefined };

describe('archives for docker', () => {
  const configOf = (image: string) => (JSON.parse(rawOf(image)) as { config: { digest: string } }).config.digest;
  const here = ['--platform', 'linux/amd64'];

  it('of a registry’s image: Docker’s tools and tbuild load it, with its name', async () => {
    await cp(...here, name, `docker-archive:${at('docker.tar')}:team/app:3`);
    const id = JSON.parse(asOwner('skopeo', ['inspect', '--raw', `docker-archive:${at('docker.tar')}:team/app:3`])).config.digest;
    const store = emptyStore();
    expect(await tbuildOk(['load', '-i', at('docker.tar')], { store })).toBe('Loaded image: team/app:3\n');
    expect(JSON.parse(await tbuildOk(['inspect', 'team/app:3'], { store }))[0].Id).toBe(id);
    mkdirSync(at('docker'));
    execFileSync('tar', ['xf', at('docker.tar'), '-C', at('docker')]);
    const validator = path.join(repository, '../shared/conformance/validate_image.py');
    if (existsSync(validator)) expect(execFileSync('python3', [validator, at('docker')], { encoding: 'utf8' })).toBe('VALID\n');
    else console.log(`not validated: ${validator} is not there`);
  });

  it('to a registry, compressed, and to layouts; the image keeps its ID', async () => {
    await cp(`docker-archive:${at('docker.tar')}`, `${second.host}/from/archive:1`);
    const raw = JSON.parse(rawOf(`docker://${second.host}/from/archive:1`));
    expect(raw.layers[0].mediaType).toMatch(/tar\+gzip$/);
    await cp(`docker-archive:${at('docker.tar')}:team/app:3`, `oci:${at('of-docker')}:x`);
    expect(configOf(`oci:${at('of-docker')}:x`)).toBe(raw.config.digest);
    await cp(`oci:${at('of-docker')}:x`, `docker-archive:${at('again.tar')}:team/app:3`);
    await cp(`docker-archive:${at('docker.tar')}`, `docker-archive:${at('third.tar')}:team/app:3`);
    for (const other of ['again.tar', 'third.tar'])
      expect(readFileSync(at(other)).equals(readFileSync(at('docker.tar'))), other).toBe(true);
    const store = emptyStore();
    await tbuildOk(['pull', '-q', `${second.host}/from/archive:1`], { store });
    expect(await tbuildOk(['fsck'], { store })).toContain('no problems');
  });

  it('of skopeo, compressed as a whole, and of several images', async () => {
    asOwner('skopeo', ['copy', '-q', `oci:${at('of-docker')}:x`, `docker-archive:${at('skopeo.tar')}:other:1`]);
    execFileSync('gzip', [at('skopeo.tar')]);
    await cp(`docker-archive:${at('skopeo.tar.gz')}:other:1`, `${second.host}/skopeo`);
    expect(configOf(`docker://${second.host}/skopeo`)).toBe(configOf(`oci:${at('of-docker')}:x`));
    const store = emptyStore();
    await tbuildOk(['-t', 'one', '-t', 'two', makeContext({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })], { store });
    await tbuildOk(['-t', 'three', makeContext({ Dockerfile: 'FROM scratch\nLABEL a=b\n' })], { store });
    await tbuildOk(['save', '-o', at('several.tar'), 'one', 'two', 'three'], { store });
    await cp(`docker-archive:${at('several.tar')}:two`, `${second.host}/two`);
    await cp(`docker-archive:${at('several.tar')}:three`, `oci-archive:${at('three.tar')}`);
  });

  it('that are no such', async () => {
    const fail = async (...args: string[]) => {
      const { code, stderr } = await tbuild(['cp', ...args], { store: '/nowhere', env: { TMPDIR: at('tmp'), ...nowhere } });
      return `${code} ${stderr.split('\n')[0]}`;
    };
    mkdirSync(at('tmp'));
    const to = `oci:${at('nothing')}`;
    expect(await fail(`docker-archive:${at('several.tar')}`, to)).toBe(`6 error: ${at('several.tar')} has several images`);
    expect(await fail(`docker-archive:${at('docker.tar')}:four`, to)).toBe(
      `6 error: ${at('docker.tar')} has no image four:latest`,
    );
    expect(await fail(`docker-archive:${at('none.tar')}`, to)).toContain('there is no such file');
    expect(await fail('--all', name, `docker-archive:${at('all.tar')}`)).toBe(
      '2 error: an archive for docker holds the image for one platform',
    );
    expect(await fail('docker-archive:', to)).toBe('2 error: docker-archive: names nothing');
    expect(await fail('docker-daemon:x', to)).toBe('5 error: no Docker or podman is listening here');
    const layer = await layerOf('a', 'a');
    const wrong = await oldDockerArchive([layer]);
    for (const file of wrong.keys()) if (file.endsWith('layer.tar')) wrong.set(file, await layerOf('a', 'b'));
    writeFileSync(at('wrong.tar'), await archiveOf(wrong));
    expect(await fail(`docker-archive:${at('wrong.tar')}`, to)).toMatch(
      /^6 error: .*: the layer that should be sha256:\w+ is sha256:\w+$/,
    );
    expect([existsSync(at('nothing')), existsSync(at('all.tar'))]).toEqual([false, false]);
    expect(readdirSync(tmpdir()).filter((each) => each.startsWith('tbuild-cp-') && !each.startsWith('tbuild-cp-test'))).toEqual(
      [],
    );
  });
});

it('says what it cannot do, and leaves nothing', async () => {
  const fail = async (...args: string[]) => (await tbuild(['cp', ...args], { store: '/nowhere' })).stderr.split('\n')[0];
  expect(await fail(name, 'dir:x')).toBe(
    'error: dir: is not copied to or from: registries, oci:, oci-archive:, docker-archive: and docker-daemon: are',
  );
  expect(await fail('--platform', 'linux/s390x', name, `oci:${at('none')}`)).toContain('has no image for linux/s390x');
  expect(await fail(`oci:${at('layout')}:three`, `oci:${at('none')}`)).toBe(`error: ${at('layout')} has no image three`);
  expect(await fail(`${first.host}/none`, `oci:${at('none')}`)).toBe(`error: ${first.host}/none:latest: not found`);
  expect(existsSync(at('none'))).toBe(false);
});
