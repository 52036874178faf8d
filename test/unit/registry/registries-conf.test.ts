// registries.conf and certs.d: which hosts are asked, in which order, and how far each is believed.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { parseReference } from '../../../src/oci/reference.ts';
import { Settings } from '../../../src/registry/endpoints.ts';

const home = mkdtempSync(path.join(tmpdir(), 'tbuild-settings-'));
const folder = path.join(home, '.config/containers');
beforeEach(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(path.join(folder, 'registries.conf.d'), { recursive: true });
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

async function places(reference: string, isPull = true): Promise<string[]> {
  const settings = await Settings.read({ HOME: home });
  return settings
    .endpointsOf(parseReference(reference), isPull)
    .map(({ registry, host, path: at, isInsecure, isMirror }) =>
      [
        `${host}/${at}`,
        ...(registry === host ? [] : [`as ${registry}`]),
        ...(isInsecure ? ['insecure'] : []),
        ...(isMirror ? ['mirror'] : []),
      ].join(' '),
    );
}

const write = (toml: string, name = 'registries.conf') => writeFileSync(path.join(folder, name), toml);

describe('without settings', () => {
  it.each([
    ['debian', ['registry-1.docker.io/library/debian as docker.io']],
    ['quay.io/podman/stable:1', ['quay.io/podman/stable']],
    ['localhost:5000/x', ['localhost:5000/x insecure']],
    ['127.0.0.2:5000/x', ['127.0.0.2:5000/x insecure']],
    ['[::1]:5000/x', ['[::1]:5000/x insecure']],
    ['10.0.0.1:5000/x', ['10.0.0.1:5000/x']],
  ])('%s', async (reference, expected) => {
    expect(await places(reference)).toEqual(expected);
  });
});

describe('with registries.conf', () => {
  it('the longest prefix counts, and is replaced', async () => {
    write(`
      [[registry]]
      location = "docker.io"
      insecure = true
      [[registry]]
      prefix = "docker.io/library"
      location = "mirror.example/hub/"
      [[registry]]
      prefix = "docker.io/library/debian"
      location = "debian.example/base"`);
    expect(await places('someone/app')).toEqual(['registry-1.docker.io/someone/app as docker.io insecure']);
    expect(await places('busybox')).toEqual(['mirror.example/hub/busybox']);
    expect(await places('debian:12')).toEqual(['debian.example/base']);
    expect(await places('docker.io/libraryx/y')).toEqual(['registry-1.docker.io/libraryx/y as docker.io insecure']);
  });

  it('mirrors go first, for those that they serve; nothing is pushed to them', async () => {
    write(`
      [[registry]]
      prefix = "*.example"
      mirror-by-digest-only = false
      [[registry.mirror]]
      location = "a:5000/all"
      insecure = true
      [[registry.mirror]]
      location = "b"
      pull-from-mirror = "digest-only"
      [[registry.mirror]]
      location = "c/x"
      pull-from-mirror = "tag-only"`);
    expect(await places('r.example/app:1')).toEqual(['a:5000/all/app insecure mirror', 'c/x/app mirror', 'r.example/app']);
    expect(await places(`r.example/app@sha256:${'0'.repeat(64)}`)).toEqual([
      'a:5000/all/app insecure mirror',
      'b/app mirror',
      'r.example/app',
    ]);
    expect(await places('r.example/app:1', false)).toEqual(['r.example/app']);
  });

  it('a later file takes the place of a table, and blocks', async () => {
    write('[[registry]]\nlocation = "quay.io"\ninsecure = true');
    write('[[registry]]\nlocation = "quay.io"\nblocked = true', 'registries.conf.d/50-block.conf');
    await expect(places('quay.io/a/b')).rejects.toThrow('quay.io/a/b is blocked by registries.conf, which says so of quay.io');
  });

  it('loopback can be told to show who it is', async () => {
    write('[[registry]]\nlocation = "localhost:5000"\ninsecure = false');
    expect(await places('localhost:5000/x')).toEqual(['localhost:5000/x']);
    mkdirSync(path.join(folder, 'certs.d/127.0.0.1:5000'), { recursive: true });
    expect(await places('127.0.0.1:5000/x')).toEqual(['127.0.0.1:5000/x']);
  });

  it('only what the environment names is read, where it names a file', async () => {
    write('[[registry]]\nlocation = "quay.io"\nblocked = true');
    const other = path.join(home, 'other.conf');
    writeFileSync(other, '');
    const settings = await Settings.read({ HOME: home, CONTAINERS_REGISTRIES_CONF: other });
    expect(settings.endpointsOf(parseReference('quay.io/a'), true)).toHaveLength(1);
  });

  it.each([
    ['[[registry]', 'registries.conf: Invalid TOML document'],
    ['[[registry]]\nlocation = 7', 'registry[0], location is not a string'],
    ['[[registry]]\ninsecure = true', 'registry[0] has neither a prefix nor a location'],
    ['[[registry]]\nlocation = "a.b"\ninsecure = "yes"', 'registry[0], insecure is not true or false'],
    ['[registries.search]\nregistries = ["docker.io"]', 'is of version 1'],
    ['[[registry]]\nprefix = "quay.io"\nlocation = "a b"', 'leads to "a b/a", which is no repository'],
  ])('%j is refused', async (toml, message) => {
    write(toml);
    await expect(places('quay.io/a')).rejects.toMatchObject({
      code: 'registry/bad-settings',
      message: expect.stringContaining(message),
    });
  });
});
