// What is in registries, shown and put together without the store: beside skopeo, and held to the validator by what push.test.ts holds images to.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { type Act, serveFaulty } from '../support/faulty-registry.ts';
import { emptyStore, freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

let first: DockerRegistry;
let second: DockerRegistry;
let folder: string;
let amd64: string;
let arm64: string;

beforeAll(async () => {
  [first, second] = await Promise.all([startDockerRegistry(), startDockerRegistry()]);
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-imagetools-'));
  const files = { Dockerfile: 'FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\n', amd64: 'amd64', arm64: 'arm64' };
  const build = async (arch: string) => {
    const name = `${first.host}/${arch}:1`;
    await tbuildOk(['--platform', `linux/${arch}`, '-t', name, '--push', makeContext(files)], { store: emptyStore() });
    return name;
  };
  [amd64, arm64] = [await build('amd64'), await build('arm64')];
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const skopeo = (...args: string[]) => execFileSync('skopeo', args, { encoding: 'utf8' });
const rawOf = (name: string) => skopeo('inspect', '--raw', '--tls-verify=false', `docker://${name}`);

it('inspect shows manifests and indexes', async () => {
  const text = await tbuildOk(['imagetools', 'inspect', amd64]);
  expect(text).toMatch(
    /^Name: {6}\S+\/amd64:1\nMediaType: application\/vnd\.oci\.image\.manifest\.v1\+json\nDigest: {4}sha256:\w{64}\n$/,
  );
  expect(await tbuildOk(['imagetools', 'inspect', '--raw', amd64])).toBe(rawOf(amd64));
  expect(await tbuildOk(['manifest', 'inspect', amd64])).toBe(rawOf(amd64));
  const { name, manifest } = JSON.parse(await tbuildOk(['imagetools', 'inspect', '--format', 'json', amd64]));
  expect([name, manifest.config.digest]).toEqual([amd64, JSON.parse(rawOf(amd64)).config.digest]);
  const { code, stderr } = await tbuild(['imagetools', 'inspect', `${first.host}/none`]);
  expect([code, stderr]).toEqual([5, `error: ${first.host}/none:latest: not found\n`]);
});

it('inspect takes templates, as buildx does', async () => {
  const show = (name: string, format: string) => tbuildOk(['imagetools', 'inspect', '--format', format, name]);
  const raw = JSON.parse(rawOf(amd64));
  const manifest = JSON.parse(await show(amd64, '{{json .Manifest}}'));
  expect(manifest).toEqual({ mediaType: raw.mediaType, digest: manifest.digest, size: rawOf(amd64).length });
  expect(await show(amd64, '{{.Name}} {{.Manifest.Digest}}')).toBe(`${amd64} ${manifest.digest}\n`);
  expect(await show(amd64, '{{.Image.OS}}/{{.Image.Architecture}}')).toBe('linux/amd64\n');
  expect(Object.keys(JSON.parse(await show(amd64, '{{json .}}')))).toEqual(['name', 'manifest', 'image']);
  expect(await show(amd64, '{{.Manifest}}')).toBe(await tbuildOk(['imagetools', 'inspect', amd64]));

  const said = `${first.host}/said:1`;
  const files = { Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' };
  const flags = ['--platform', 'linux/amd64,linux/arm64', '--provenance=true', '--sbom=true', '--push', '-t', said];
  await tbuildOk([...flags, makeContext(files)], { store: emptyStore() });
  expect(await show(said, '{{range .Manifest.Manifests}}{{.Platform.Architecture}} {{end}}')).toBe(
    'amd64 arm64 unknown unknown \n',
  );
  const provenance = JSON.parse(await show(said, '{{json .Provenance}}'));
  expect(Object.keys(provenance)).toEqual(['linux/amd64', 'linux/arm64']);
  expect(provenance['linux/arm64'].SLSA.buildDefinition.buildType).toContain('slsa');
  expect(await show(said, '{{ (index .SBOM "linux/amd64").SPDX.SPDXID }}')).toBe('SPDXRef-DOCUMENT\n');
  const { code, stderr } = await tbuild(['imagetools', 'inspect', '--format', '{{.Nmae}}', amd64]);
  expect([code, stderr.split('\n')[0]]).toEqual([
    2,
    'error: --format: there is no .Nmae: there are .Name, .Manifest, .Image, .Provenance, .SBOM',
  ]);
});

it('layouts are inspected, and are sources of indexes, as registries are', async () => {
  const layout = path.join(folder, 'layout');
  const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' });
  const output = `type=oci,tar=false,name=app:1,dest=${layout}`;
  const flags = ['--platform', 'linux/amd64,linux/arm64', '--sbom=true', '-o', output];
  await tbuildOk(['build', '-q', ...flags, context], { store: emptyStore() });
  const name = `oci-layout://${layout}:1`;
  const [{ digest }] = JSON.parse(readFileSync(path.join(layout, 'index.json'), 'utf8')).manifests as [{ digest: string }];
  const text = await tbuildOk(['imagetools', 'inspect', name]);
  expect(text).toContain(`Name:      ${name}\n`);
  expect(text).toContain(`Digest:    ${digest}\n`);
  expect(text).toMatch(new RegExp(`  Name:      oci-layout://${layout}@sha256:\\w{64}\n`));
  const show = (format: string) => tbuildOk(['imagetools', 'inspect', '--format', format, `oci-layout://${layout}`]);
  expect(await show('{{(index .Image "linux/arm64").Architecture}}')).toBe('arm64\n');
  expect(await show('{{(index .SBOM "linux/arm64").SPDX.SPDXID}}')).toBe('SPDXRef-DOCUMENT\n');
  const pushed = `${first.host}/from-layout:1`;
  await tbuildOk(['imagetools', 'create', '-t', pushed, name]);
  expect(JSON.parse(rawOf(pushed)).manifests).toHaveLength(4);
  expect(await tbuildOk(['imagetools', 'inspect', '--format', '{{.Manifest.Digest}}', pushed])).toBe(`${digest}\n`);
  const fail = async (...args: string[]) => (await tbuild(['imagetools', ...args])).stderr;
  expect(await fail('inspect', `oci-layout://${folder}/none`)).toContain('is no OCI layout');
  expect(await fail('inspect', `oci-layout://${layout}:2`)).toContain(`${layout} has no image 2`);
  expect(await fail('create', '-t', `oci-layout://${folder}/x`, amd64)).toContain('an index is not written to a layout');
});

it('inspect says where an image is that no registry has', async () => {
  const store = freshStore();
  const name = `${first.host}/here:1`;
  await tbuildOk(['tag', 'busybox', name], { store });
  const { code, stderr } = await tbuild(['imagetools', 'inspect', name], { store });
  expect([code, stderr]).toEqual([5, `error: ${name}: not found\nhint: it is in the store: tbuild inspect ${name}\n`]);
  expect(await tbuildOk(['inspect', '-f', '{{.Os}} {{json .Config.Cmd}}', name], { store })).toBe('linux ["sh"]\n');
});

it('inspect shows what refers to an image, by the tag where the registry has no list', async () => {
  const image = JSON.parse(await tbuildOk(['imagetools', 'inspect', '--format', 'json', amd64])).manifest;
  const bytes = rawOf(amd64);
  const artifact = {
    mediaType: image.mediaType,
    digest: image.digest,
    size: bytes.length,
    artifactType: 'application/x-signature',
  };
  const index = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [artifact] };
  const tag = image.digest.replace(':', '-');
  const put = await fetch(`http://${first.host}/v2/amd64/manifests/${tag}`, {
    method: 'PUT',
    headers: { 'content-type': index.mediaType },
    body: JSON.stringify(index),
  });
  expect(put.status).toBe(201);
  const text = await tbuildOk(['imagetools', 'inspect', amd64]);
  expect(text).toContain(`\nReferrers:\n  Name:         ${first.host}/amd64@${image.digest}\n`);
  expect(text).toContain('\n  ArtifactType: application/x-signature\n');
});

it('inspect shows all pages of what refers to an image', async () => {
  const registry = await serveFaulty();
  const type = 'application/vnd.oci.image.manifest.v1+json';
  const bytes = Buffer.from(rawOf(amd64));
  registry.contents.set('/v2/app/manifests/1', { bytes, mediaType: type });
  const entry = (artifactType: string) => ({ mediaType: type, digest: `sha256:${'0'.repeat(64)}`, size: 1, artifactType });
  const page = (next: string | undefined, artifactType: string): Act => {
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    const body = JSON.stringify({ schemaVersion: 2, mediaType, manifests: [entry(artifactType)] });
    return (_, response) => {
      const link = next && { link: `<${next}>; rel="next"` };
      response.writeHead(200, { 'content-type': mediaType, ...link }).end(body);
    };
  };
  registry.setFaults(
    { on: /referrers\/sha256:\w+\?page=2$/, act: page('?page=1', 'application/x-second') },
    { on: /referrers\/sha256:\w+$/, act: page('?page=2', 'application/x-first') },
    { on: /referrers\/sha256:\w+\?page=1$/, act: page('?page=2', 'application/x-third') },
  );
  const text = await tbuildOk(['imagetools', 'inspect', `${registry.host}/app:1`]);
  expect(text.match(/x-\w+/g)).toEqual(['x-first', 'x-second', 'x-third']);
});

it('create makes an index of images, in their repository, in another and in another registry', async () => {
  const names = [`${first.host}/amd64:both`, `${first.host}/both:1`, `${second.host}/both:1`];
  await tbuildOk(['imagetools', 'create', ...names.flatMap((name) => ['-t', name]), '--annotation', 'a=b', amd64, arm64]);
  for (const name of names) {
    const index = JSON.parse(rawOf(name));
    expect(index.annotations).toEqual({ a: 'b' });
    expect(index.manifests.map((entry: { platform: { architecture: string } }) => entry.platform.architecture)).toEqual([
      'amd64',
      'arm64',
    ]);
    skopeo('copy', '-q', '--all', '--src-tls-verify=false', `docker://${name}`, `dir:${folder}/${names.indexOf(name)}`);
  }
  const text = await tbuildOk(['imagetools', 'inspect', names[2] as string]);
  expect(text).toContain('\n  Platform:  linux/arm64\n');
});

it('create appends, leaves out, copies what is an index already, and shows without pushing', async () => {
  const name = `${second.host}/grown:1`;
  await tbuildOk(['imagetools', 'create', '-t', name, amd64]);
  await tbuildOk(['imagetools', 'create', '-t', name, '--append', arm64]);
  const both = rawOf(name);
  expect(JSON.parse(both).manifests).toHaveLength(2);
  const copied = `${first.host}/copied:1`;
  await tbuildOk(['imagetools', 'create', '-t', copied, name]);
  expect(rawOf(copied)).toBe(both);
  const dry = await tbuildOk(['imagetools', 'create', '--dry-run', '--platform', 'linux/arm64', name]);
  expect(JSON.parse(dry).manifests).toEqual([JSON.parse(both).manifests[1]]);
  const file = path.join(folder, 'descriptor');
  writeFileSync(file, JSON.stringify(JSON.parse(both).manifests[0]));
  await tbuildOk(['imagetools', 'create', '-t', `${second.host}/grown:2`, '-f', file]);
  expect(JSON.parse(rawOf(`${second.host}/grown:2`)).manifests).toEqual([JSON.parse(both).manifests[0]]);
});

it('what makes no sense is said', async () => {
  const fail = async (...args: string[]) => (await tbuild(['imagetools', ...args])).stderr.split('\n')[0];
  expect(await fail('create', amd64)).toContain("can't push without tags");
  expect(await fail('create', '-t', 'x')).toContain('at least one source');
  expect(await fail('create', '-t', `${first.host}/x`, '--platform', 'linux/s390x', amd64)).toContain('no image of the sources');
  expect(await fail('inspct', amd64)).toContain('has no command "inspct"');
});
