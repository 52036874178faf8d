// Images from registries and layouts to others, without a store: digests stay, and the validator and skopeo read what was written.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
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

it('says what it cannot do, and leaves nothing', async () => {
  const fail = async (...args: string[]) => (await tbuild(['cp', ...args], { store: '/nowhere' })).stderr.split('\n')[0];
  expect(await fail(name, 'docker-archive:x.tar')).toBe(
    'error: docker-archive: is not copied to or from: registries, oci: and oci-archive: are',
  );
  expect(await fail('--platform', 'linux/s390x', name, `oci:${at('none')}`)).toContain('has no image for linux/s390x');
  expect(await fail(`oci:${at('layout')}:three`, `oci:${at('none')}`)).toBe(`error: ${at('layout')} has no image three`);
  expect(await fail(`${first.host}/none`, `oci:${at('none')}`)).toBe(`error: ${first.host}/none:latest: not found`);
  expect(existsSync(at('none'))).toBe(false);
});
