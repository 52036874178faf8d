// Builds for several platforms, and what becomes of their results: an index under one name. Base images for other platforms are the test's own.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { hostPlatform } from '../../src/oci/platform.ts';
import { addImage, archiveOf, configOf, type Files, layerOf, named, setIndex } from '../support/archives.ts';
import { makeContext } from '../support/contexts.ts';
import { build } from '../support/events.ts';
import { emptyStore, freshStore } from '../support/stores.ts';
import { repository, tbuild, tbuildOk } from '../support/tbuild.ts';

const host = hostPlatform();
const own = `linux/${host.architecture}`;
const foreignArchitecture = host.architecture === 's390x' ? 'arm64' : 's390x';
const foreign = `linux/${foreignArchitecture}`;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-platforms-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Inspected {
  readonly Id: string;
  readonly Architecture: string;
  readonly Config: { readonly Labels?: Record<string, string> };
  readonly RepoTags: readonly string[];
  readonly RootFS: { readonly Layers: readonly string[] };
  readonly Manifests?: readonly { readonly Platform: { readonly architecture: string } }[];
}

const inspect = async (store: string, ...args: string[]): Promise<Inspected> =>
  (JSON.parse(await tbuildOk(['inspect', ...args], { store })) as [Inspected])[0];

/** A base image for two platforms, called `base`: one file tells them apart. */
async function loadBase(store: string): Promise<void> {
  const files: Files = new Map();
  const images = [];
  for (const architecture of [host.architecture, foreignArchitecture]) {
    const layer = await layerOf('architecture', architecture);
    const platform = { os: 'linux', architecture };
    images.push({ ...addImage(files, [layer], configOf([layer], platform)), platform });
  }
  const archive = await archiveOf(
    setIndex(
      files,
      images.map((image) => named(image, 'docker.io/library/base:latest')),
    ),
  );
  await tbuildOk(['load'], { store, input: archive });
}

describe('an index', () => {
  test('comes of several platforms: contexts and copies are shared, configs are not', async () => {
    const store = emptyStore();
    const context = makeContext({
      Dockerfile: 'FROM scratch\nARG TARGETPLATFORM TARGETARCH\nCOPY a /\nLABEL for=$TARGETPLATFORM arch=$TARGETARCH\n',
      a: 'a',
    });
    const { events, image } = await build(['-t', 'app', '--platform', `${own},${foreign}`, '--platform', own, context], {
      store,
    });
    const plan = events.find((event) => event.type === 'plan');
    expect(plan?.steps.map(({ name }) => name)).toEqual(['[internal] load build context', `[${own} 1/1] COPY a /`]);

    const [first, second] = [await inspect(store, 'app'), await inspect(store, '--platform', foreign, 'app')];
    expect(first).toMatchObject({ Id: image, Architecture: host.architecture, RepoTags: ['app:latest'] });
    expect(first.Config.Labels).toEqual({ for: own, arch: host.architecture });
    expect(first.Manifests?.map(({ Platform }) => Platform.architecture)).toEqual([host.architecture, foreignArchitecture]);
    expect(second.Architecture).toBe(foreignArchitecture);
    expect(second.Config.Labels).toEqual({ for: foreign, arch: foreignArchitecture });
    expect(second.RootFS).toEqual(first.RootFS);

    expect((await build(['-t', 'app', '--platform', `${own},${foreign}`, context], { store })).image).toBe(image);
    expect(await tbuildOk(['images'], { store })).toMatch(/^REPOSITORY.*\napp +latest +[0-9a-f]{12} .*\n$/);
    expect(await tbuildOk(['history', '--platform', foreign, 'app'], { store })).toContain(`LABEL for=${foreign}`);
    await tbuildOk(['fsck'], { store });
    await tbuildOk(['rmi', 'app'], { store });
    expect(await tbuildOk(['images', '-q'], { store })).toBe('');
  });

  test('is made of one platform where BUILDKIT_MULTI_PLATFORM says so, and of several it must be', async () => {
    const store = emptyStore();
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' });
    const args = (value: string) => ['build', '-q', '-t', 'app', '--build-arg', `BUILDKIT_MULTI_PLATFORM=${value}`, context];
    await tbuildOk([...args('1'), '--platform', foreign], { store });
    expect((await inspect(store, 'app')).Manifests).toHaveLength(1);
    const refused = await tbuild([...args('false'), '--platform', `${own},${foreign}`], { store });
    expect([refused.code, refused.stderr]).toEqual([
      2,
      expect.stringContaining('returning multiple target platforms is not allowed'),
    ]);
    expect((await tbuild(args('maybe'), { store })).stderr).toContain('invalid boolean value for multi-platform: maybe');
  });

  test('is written as one, by save and by --output, and comes back as it was', async ({ skip }) => {
    const store = emptyStore();
    const context = makeContext({ Dockerfile: 'FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /$TARGETARCH\n' });
    const archive = path.join(folder, 'app.tar');
    const platforms = ['--platform', `${own},${foreign}`];
    await tbuildOk(['build', '-q', '-t', 'app', ...platforms, '-o', `type=oci,dest=${archive}`, context], { store });
    const other = emptyStore();
    await tbuildOk(['load', '-i', archive], { store: other });
    expect((await tbuildOk(['images', '-q'], { store: other })).split('\n')).toHaveLength(2);
    await tbuildOk(['save', '--format', 'oci', '-o', archive, 'app'], { store });
    await tbuildOk(['load', '-i', archive], { store: other });
    expect((await inspect(other, '--platform', foreign, 'app')).Architecture).toBe(foreignArchitecture);

    const docker = await tbuild(['save', '-o', path.join(folder, 'docker.tar'), 'app'], { store });
    expect(docker.stderr).toContain(`app is there for ${own}, ${foreign}: an archive for docker holds one platform`);
    expect(docker.stderr).toContain('--format oci');

    const validator = path.join(repository, '../shared/conformance/validate_image.py');
    if (!existsSync(validator)) {
      console.log(`skipped: the schemas: ${validator} is not there`);
      skip('no validator');
    }
    const layout = path.join(folder, 'layout');
    mkdirSync(layout);
    execFileSync('tar', ['-xf', archive, '-C', layout]);
    expect(execFileSync('python3', [validator, layout], { encoding: 'utf8' })).toContain('VALID');
  });
});

describe('FROM', () => {
  test('takes the image for the platform, of the build or its own', async () => {
    const store = emptyStore();
    await loadBase(store);
    const context = makeContext({
      Dockerfile: [
        'FROM --platform=$BUILDPLATFORM base AS native',
        `FROM --platform=${foreign} base AS foreign`,
        'FROM base',
        'COPY --from=native /architecture /native',
        'COPY --from=base /architecture /copied',
        'COPY --from=foreign /architecture /foreign',
      ].join('\n'),
    });
    const args = ['build', '-q', '-t', 'app', '--platform', `${own},${foreign}`];
    const target = path.join(folder, 'app.tar');
    await tbuildOk([...args, context], { store });
    for (const platform of [own, foreign]) {
      await tbuildOk(['save', '--format', 'oci', '--platform', platform, '-o', target, 'app'], { store });
      const contents = filesOf(target);
      const architecture = platform.slice('linux/'.length);
      expect(contents).toEqual({
        architecture,
        native: host.architecture,
        copied: architecture,
        foreign: foreignArchitecture,
      });
    }
  });

  test('a platform that the base image is not there for is an error with its place', async () => {
    const store = emptyStore();
    await loadBase(store);
    const context = makeContext({ Dockerfile: 'FROM base\n' });
    const { code, stderr } = await tbuild(['build', '--platform', 'linux/riscv64', context], { store });
    expect(code).toBe(6);
    expect(stderr).toContain(`has no image for linux/riscv64: it has ${own}, ${foreign}`);
    expect(stderr).toContain('Dockerfile:1');
  });

  test('an image for one platform alone is taken, and the check tells', async () => {
    const store = freshStore();
    const context = makeContext({ Dockerfile: 'FROM busybox\nCOPY Dockerfile /\n' });
    const { code, stderr } = await tbuild(['build', '--platform', foreign, context], { store });
    expect(code).toBe(0);
    expect(stderr).toContain('InvalidBaseImagePlatform');
  });
});

test('--pull asks a registry where there is an image to pull, and none where there is not', async () => {
  const store = freshStore();
  await tbuildOk(['tag', 'busybox', '127.0.0.1:1/busybox'], { store });
  await tbuildOk(['build', '-q', '--pull', makeContext({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })], { store });
  const { code, stderr } = await tbuild(['build', '--pull', makeContext({ Dockerfile: 'FROM 127.0.0.1:1/busybox\n' })], {
    store,
  });
  expect(code).toBe(5);
  expect(stderr).toContain('127.0.0.1:1/busybox:latest');
  expect(stderr).toContain('Dockerfile:1');
});

describe('steps of several platforms', () => {
  test("are named with theirs, and a stage that runs on the build's own with what it builds for", async () => {
    const store = freshStore();
    const context = makeContext({
      Dockerfile: [
        'FROM --platform=$BUILDPLATFORM busybox AS tools',
        'RUN echo tools > /tools',
        'FROM --platform=$BUILDPLATFORM busybox AS build',
        'ARG TARGETARCH',
        'COPY --from=tools /tools /',
        'RUN echo $TARGETARCH > /made',
        'FROM scratch',
        'COPY --from=build /made /',
      ].join('\n'),
    });
    const { events, ran } = await build(['--platform', `${own},${foreign}`, context], { store });
    const names = events.find((event) => event.type === 'plan')?.steps.map(({ name }) => name) ?? [];
    expect(names).toContain(`[${own} tools 2/2] RUN echo tools > /tools`);
    expect(names).toContain(`[${own} build 3/3] RUN echo ${host.architecture} > /made`);
    expect(names).toContain(`[${own}->${foreignArchitecture} build 3/3] RUN echo ${foreignArchitecture} > /made`);
    expect(ran.filter((name) => name.startsWith('RUN echo tools'))).toHaveLength(1);
  });

  test('--no-cache-filter runs the named stages again, and no others', async () => {
    const store = freshStore();
    const context = makeContext({
      Dockerfile:
        'FROM busybox AS one\nRUN echo 1 > /1\nFROM busybox AS Two\nRUN cat /proc/sys/kernel/random/uuid > /2\nFROM scratch\nCOPY --from=one /1 /\nCOPY --from=two /2 /\n',
    });
    await build([context], { store });
    const { ran } = await build(['--no-cache-filter', 'other,TWO', context], { store });
    expect(ran).toEqual(['RUN cat /proc/sys/kernel/random/uuid > /2', 'COPY --from=two /2 /']);
  });
});

/** Names and contents of the files of an archive's image, all layers together. */
function filesOf(archive: string): Record<string, string> {
  const script = `
import json, sys, tarfile, gzip, io
outer = tarfile.open(sys.argv[1])
read = lambda digest: outer.extractfile('blobs/sha256/' + digest.split(':')[1]).read()
manifest = json.loads(read(json.load(outer.extractfile('index.json'))['manifests'][0]['digest']))
files = {}
for layer in manifest['layers']:
    data = read(layer['digest'])
    inner = tarfile.open(fileobj=io.BytesIO(gzip.decompress(data) if data[:2] == b'\\x1f\\x8b' else data))
    files.update({m.name: inner.extractfile(m).read().decode() for m in inner if m.isfile()})
print(json.dumps(files))
`;
  return JSON.parse(execFileSync('python3', ['-c', script, archive], { encoding: 'utf8' })) as Record<string, string>;
}
