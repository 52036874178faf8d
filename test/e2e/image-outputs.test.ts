// `-o type=oci|docker`, `--metadata-file`, `--iidfile`: images as others read them, with names, compression, media types and annotations as asked for.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { freshStore } from '../support/stores.ts';
import { repository, tbuild, tbuildOk } from '../support/tbuild.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-image-outputs-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const at = (...names: string[]) => path.join(folder, ...names);
const run = (command: string, ...args: string[]) =>
  execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const readJson = (file: string) => JSON.parse(readFileSync(file, 'utf8'));

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly annotations?: Record<string, string>;
  readonly platform?: { readonly os: string; readonly architecture: string };
}
interface Manifest {
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly manifests: readonly Descriptor[];
  readonly annotations?: Record<string, string>;
}

const blob = (layout: string, { digest }: Descriptor): Manifest => readJson(path.join(layout, 'blobs/sha256', digest.slice(7)));
const entriesOf = (layout: string) => (readJson(path.join(layout, 'index.json')) as Manifest).manifests;

/** The validator of the shared references, where they are. */
function validate(layout: string): void {
  const validator = path.join(repository, '../shared/conformance/validate_image.py');
  if (existsSync(validator)) expect(run('python3', validator, layout)).toBe('VALID\n');
  else console.log(`not validated: ${validator} is not there`);
}

const context = () => makeContext({ Dockerfile: 'FROM busybox\nCOPY file /\nLABEL a=1\n', file: 'content' });
const twoPlatforms = () =>
  makeContext({ Dockerfile: 'FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\n', amd64: 'amd64', arm64: 'arm64' });
const platforms = ['--platform', 'linux/amd64,linux/arm64'];

describe('a layout', () => {
  test('has the names of the build, or its own', async () => {
    await tbuildOk(['-t', 'app', '-t', 'app:2', '-o', `type=oci,tar=false,dest=${at('tags')}`, context()]);
    const named = (layout: string) => entriesOf(at(layout)).map(({ annotations }) => annotations?.['io.containerd.image.name']);
    expect(named('tags')).toEqual(['docker.io/library/app:latest', 'docker.io/library/app:2']);
    await tbuildOk(['-t', 'app', '-o', `type=oci,tar=false,dest=${at('own')},name=quay.io/x/y:1`, context()]);
    expect(named('own')).toEqual(['quay.io/x/y:1']);
    await tbuildOk(['-o', `type=oci,tar=false,dest=${at('none')}`, context()]);
    expect(named('none')).toEqual([undefined]);
    for (const layout of ['tags', 'own', 'none']) validate(at(layout));
  });

  test('has its own layers compressed as asked, those of the base as they came or all of them', async () => {
    const store = freshStore();
    const layers = async (layout: string, attributes: string) => {
      await tbuildOk(['-o', `type=oci,tar=false,dest=${at(layout)}${attributes}`, context()], { store });
      validate(at(layout));
      return blob(at(layout), entriesOf(at(layout))[0]!).layers.map(({ mediaType }) => mediaType.replace('application/vnd.', ''));
    };
    const base = (await layers('default', ''))[0];
    expect(await layers('gzip', ',compression=gzip')).toEqual([base, 'oci.image.layer.v1.tar+gzip']);
    expect(await layers('zstd', ',compression=zstd,compression-level=10')).toEqual([base, 'oci.image.layer.v1.tar+zstd']);
    expect(await layers('plain', ',compression=uncompressed,force-compression=true')).toEqual(
      Array(2).fill('oci.image.layer.v1.tar'),
    );
    expect(await layers('docker', ',oci-mediatypes=false,force-compression=true')).toEqual(
      Array(2).fill('docker.image.rootfs.diff.tar.gzip'),
    );
    run('skopeo', 'copy', '--quiet', `oci:${at('zstd')}`, `dir:${at('copied')}`);
  });

  test('has annotations where they are wanted', async () => {
    const annotations = [
      '--annotation',
      'all=1',
      '--annotation',
      'manifest[linux/arm64],index:some=2',
      '--annotation',
      'index-descriptor:top=3',
    ];
    const output = `type=oci,tar=false,dest=${at('layout')},annotation-manifest-descriptor.entry=4,annotation.own=5`;
    await tbuildOk([...platforms, ...annotations, '-o', output, twoPlatforms()]);
    validate(at('layout'));
    const [top] = entriesOf(at('layout')) as [Descriptor];
    expect(top.annotations).toEqual({ top: '3' });
    const index = blob(at('layout'), top);
    expect(index.annotations).toEqual({ some: '2' });
    expect(index.manifests.map((entry) => [entry.annotations, blob(at('layout'), entry).annotations])).toEqual([
      [{ entry: '4' }, { all: '1', own: '5' }],
      [{ entry: '4' }, { all: '1', own: '5', some: '2' }],
    ]);
  });

  test('of one platform has no place for annotations of an index', async () => {
    const { code, stderr } = await tbuild(['--annotation', 'index:a=b', '-o', `type=oci,dest=${at('x')}`, context()]);
    expect(code).toBe(2);
    expect(stderr).toContain('index annotations not supported for single platform export');
    expect(existsSync(at('x'))).toBe(false);
  });

  test('is written where an archive is not: several outputs of one build agree', async () => {
    const store = freshStore();
    const outputs = [
      '-o',
      `type=oci,dest=${at('oci.tar')}`,
      '-o',
      `type=oci,tar=false,dest=${at('layout')}`,
      '-o',
      `type=docker,dest=${at('docker.tar')}`,
    ];
    await tbuildOk(
      ['-t', 'app', ...outputs, '-o', 'type=image,name=other:1', '-o', 'type=cacheonly', '-o', at('files'), context()],
      { store },
    );
    const id = (await tbuildOk(['images', '-q', '--no-trunc', 'other:1'], { store })).trim();
    mkdirSync(at('unpacked'));
    run('tar', 'xf', at('oci.tar'), '-C', at('unpacked'));
    expect(entriesOf(at('unpacked'))).toEqual(entriesOf(at('layout')));
    expect(blob(at('layout'), entriesOf(at('layout'))[0]!).config.digest).toBe(id);
    run('skopeo', 'copy', '--quiet', `docker-archive:${at('docker.tar')}:app:latest`, `dir:${at('copied')}`);
    expect((readJson(at('copied/manifest.json')) as Manifest).config.digest).toBe(id);
    expect(readFileSync(at('files/file'), 'utf8')).toBe('content');
  });
});

test('docker archives hold one platform', async () => {
  const { code, stderr } = await tbuild([...platforms, '-o', `type=docker,dest=${at('x')}`, twoPlatforms()]);
  expect(code).toBe(2);
  expect(stderr).toContain('docker exporter does not currently support exporting manifest lists');
});

describe('--metadata-file and --iidfile', () => {
  test('say what is in the archive', async () => {
    const args = ['--metadata-file', at('metadata'), '--iidfile', at('iid'), '-t', 'app'];
    await tbuildOk([...args, '-o', `type=oci,tar=false,dest=${at('layout')}`, context()]);
    const [entry] = entriesOf(at('layout')) as [Descriptor];
    const { annotations: _, ...descriptor } = entry;
    expect(readJson(at('metadata'))).toEqual({
      'containerimage.config.digest': readFileSync(at('iid'), 'utf8'),
      'containerimage.descriptor': descriptor,
      'containerimage.digest': entry.digest,
      'image.name': 'docker.io/library/app:latest',
    });
    expect(blob(at('layout'), entry).config.digest).toBe(readFileSync(at('iid'), 'utf8'));
  });

  test('say what is in the store, of several platforms the index', async () => {
    const store = freshStore();
    const args = ['--metadata-file', at('metadata'), '--iidfile', at('iid'), '-q'];
    const id = (await tbuildOk([...args, context()], { store })).trim();
    expect(readJson(at('metadata'))).toEqual({ 'containerimage.config.digest': id, 'containerimage.digest': id });
    expect(readFileSync(at('iid'), 'utf8')).toBe(id);
    const index = (await tbuildOk([...args, '-t', 'two', ...platforms, twoPlatforms()], { store })).trim();
    expect(readJson(at('metadata'))).toEqual({ 'containerimage.digest': index, 'image.name': 'docker.io/library/two:latest' });
    expect(readFileSync(at('iid'), 'utf8')).toBe(index);
  });

  test('say why nothing came of it', async () => {
    writeFileSync(at('iid'), 'old');
    const failing = makeContext({ Dockerfile: 'FROM busybox\nRUN exit 42\n' });
    const { code } = await tbuild(['--metadata-file', at('metadata'), '--iidfile', at('iid'), failing]);
    expect(code).toBe(1);
    expect(readJson(at('metadata'))).toEqual({
      'tbuild.build.error': expect.objectContaining({
        code: 'run/exit',
        exitCode: 42,
        where: expect.objectContaining({ range: expect.objectContaining({ startLine: 2 }) }),
      }),
    });
    expect(existsSync(at('iid'))).toBe(false);
  });

  test('in a place that cannot be written are an error of their own', async () => {
    const { code, stderr } = await tbuild(['--metadata-file', at('missing/metadata'), context()]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/error: the metadata of the build cannot be written to .*missing\/metadata/);
  });
});
