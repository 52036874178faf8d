// Archives as other tools see them: skopeo, umoci and podman read what `tbuild save` wrote, and `tbuild load` reads what they wrote.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { archiveOf, layerOf, oldDockerArchive, writeFiles } from '../support/archives.ts';
import { makeContext } from '../support/contexts.ts';
import { asOwner, isRoot, removeTree } from '../support/own-files.ts';
import { emptyStore, freshStore } from '../support/stores.ts';
import { repository, tbuild, tbuildOk } from '../support/tbuild.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-archives-'));
});
afterEach(() => removeTree(folder));

const at = (...names: string[]) => path.join(folder, ...names);
const run = (command: string, ...args: string[]) => asOwner(command, args);

/** Debian's podman, with everything it keeps in this test's folder. */
const podman = (...args: string[]) =>
  execFileSync('podman', ['--root', at('podman'), '--runroot', at('podman-run'), '--storage-driver', 'vfs', ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });

/** Leaves out what one name cannot say: an ID as podman writes it has no algorithm. */
const podmanId = (name: string) => `sha256:${podman('image', 'inspect', '--format', '{{.Id}}', name).trim()}`;

async function imageId(store: string, name: string): Promise<string> {
  const [image] = JSON.parse(await tbuildOk(['inspect', name], { store })) as { Id: string }[];
  return image?.Id as string;
}

const skopeoDigest = (reference: string) => (JSON.parse(run('skopeo', 'inspect', reference)) as { Digest: string }).Digest;

function without(tool: string): string | undefined {
  try {
    run('which', tool);
    return undefined;
  } catch {
    return `${tool} is not installed`;
  }
}

/** A test that needs a tool: without it, it is skipped, and says so. */
const needing = (tool: string, name: string, work: () => Promise<void>) =>
  test(name, async ({ skip }) => {
    const reason = without(tool);
    if (reason) {
      console.log(`skipped: ${name}: ${reason}`);
      skip(reason);
    }
    await work();
  });

describe('what save writes', () => {
  needing('skopeo', 'is read by skopeo, and keeps the image ID', async () => {
    const store = freshStore();
    for (const format of ['docker', 'oci']) {
      const archive = at(`${format}.tar`);
      await tbuildOk(['save', '--format', format, '-o', archive, 'busybox'], { store });
      const source = format === 'docker' ? `docker-archive:${archive}:busybox:latest` : `oci-archive:${archive}:latest`;
      run('skopeo', 'copy', '--quiet', source, `dir:${at(format)}`);
      const manifest = JSON.parse(readFileSync(at(format, 'manifest.json'), 'utf8')) as { config: { digest: string } };
      expect(manifest.config.digest, format).toBe(await imageId(store, 'busybox'));
    }
  });

  needing('umoci', 'is unpacked by umoci, with modes and links', async () => {
    const store = freshStore();
    await tbuildOk(['save', '--format', 'oci', '-o', at('busybox.tar'), 'busybox'], { store });
    mkdirSync(at('layout'));
    run('tar', 'xf', at('busybox.tar'), '-C', at('layout'));
    run('umoci', 'unpack', '--image', `${at('layout')}:latest`, at('bundle'));
    const rootfs = at('bundle/rootfs');
    expect(statSync(path.join(rootfs, 'tmp')).mode & 0o7777).toBe(0o1777);
    expect(statSync(path.join(rootfs, 'bin/sh')).ino).toBe(statSync(path.join(rootfs, 'bin/busybox')).ino);
    expect(readFileSync(path.join(rootfs, 'bin/busybox')).equals(readFileSync('/bin/busybox'))).toBe(true);
  });

  needing('podman', 'is loaded by podman in both formats, several images at once', async () => {
    const store = freshStore();
    await tbuildOk(['tag', 'busybox', 'quay.io/team/box:1'], { store });
    await tbuildOk(['save', '-o', at('docker.tar'), 'busybox', 'quay.io/team/box:1'], { store });
    podman('load', '--quiet', '-i', at('docker.tar'));
    expect(podmanId('quay.io/team/box:1')).toBe(await imageId(store, 'busybox'));
    podman('rmi', '--all', '--force');
    await tbuildOk(['save', '--format', 'oci', '-o', at('oci.tar'), 'quay.io/team/box:1'], { store });
    podman('load', '--quiet', '-i', at('oci.tar'));
    expect(podman('images', '--quiet', '--no-trunc').trim()).toBe(await imageId(store, 'busybox'));
  });

  needing('skopeo', 'is read by skopeo and podman whatever compresses its layers', async () => {
    const store = freshStore();
    for (const compression of ['gzip', 'zstd']) {
      const archive = at(`${compression}.tar`);
      await tbuildOk(['save', '--compression', compression, '-o', archive, 'busybox'], { store });
      run('skopeo', 'copy', '--quiet', `docker-archive:${archive}`, `dir:${at(compression)}`);
      const manifest = JSON.parse(readFileSync(at(compression, 'manifest.json'), 'utf8')) as { config: { digest: string } };
      expect(manifest.config.digest, compression).toBe(await imageId(store, 'busybox'));
      if (!isRoot) continue;
      podman('load', '--quiet', '-i', archive);
      expect(podman('images', '--quiet', '--no-trunc').trim(), compression).toBe(await imageId(store, 'busybox'));
      podman('rmi', '--all', '--force');
    }
  });

  test.each(['gzip', 'zstd'])('has the same bytes, however many CPUs compress with %s', async (compression) => {
    const store = freshStore();
    const save = [path.join(repository, 'bin/tbuild'), 'save', '--compression', compression, '-o'];
    for (const cpus of ['0', `0-${availableParallelism() - 1}`])
      execFileSync('taskset', ['-c', cpus, ...save, at(cpus), 'debian:12'], { env: { ...process.env, TBUILD_ROOT: store } });
    expect(readFileSync(at(`0-${availableParallelism() - 1}`)).equals(readFileSync(at('0')))).toBe(true);
  });

  test('goes from a build to a load through a pipe', async () => {
    const store = freshStore();
    const context = makeContext({ Dockerfile: 'FROM busybox\nCOPY Dockerfile /\n' });
    const script = '"$1" -t piped -o type=docker,dest=- "$2" | TBUILD_ROOT="$3" "$1" load';
    const args = ['-c', script, 'sh', path.join(repository, 'bin/tbuild'), context, emptyStore()];
    const env = { ...process.env, TBUILD_ROOT: store };
    expect(execFileSync('sh', args, { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })).toBe(
      'Loaded image: piped:latest\n',
    );
  });

  test('holds to the schemas and to its own digests', async ({ skip }) => {
    const validator = path.join(repository, '../shared/conformance/validate_image.py');
    if (!existsSync(validator)) {
      console.log(`skipped: ${validator} is not there`);
      skip('no validator');
    }
    const store = freshStore();
    for (const format of ['oci', 'docker']) {
      await tbuildOk(['save', '--format', format, '-o', at(`${format}.tar`), 'busybox', 'debian:12'], { store });
      mkdirSync(at(format));
      run('tar', 'xf', at(`${format}.tar`), '-C', at(format));
      expect(run('python3', validator, at(format))).toBe('VALID\n');
    }
  });

  test('goes through a pipe as it goes into a file, byte for byte', async () => {
    const store = freshStore();
    await tbuildOk(['save', '-o', at('file.tar'), 'busybox'], { store });
    execFileSync('sh', ['-c', '"$1" save busybox > "$2"', 'sh', path.join(repository, 'bin/tbuild'), at('pipe.tar')], {
      env: { ...process.env, TBUILD_ROOT: store },
    });
    expect(readFileSync(at('pipe.tar')).equals(readFileSync(at('file.tar')))).toBe(true);
  });
});

describe('what others write', () => {
  needing('skopeo', 'by skopeo: docker-archive and OCI, and the same manifest again', async () => {
    const store = freshStore();
    await tbuildOk(['save', '--format', 'oci', '-o', at('ours.tar'), 'busybox'], { store });
    run('skopeo', 'copy', '--quiet', `oci-archive:${at('ours.tar')}:latest`, `docker-archive:${at('docker.tar')}:box:1`);
    run('skopeo', 'copy', '--quiet', `oci-archive:${at('ours.tar')}:latest`, `oci:${at('layout')}:docker.io/library/box:2`);
    const other = emptyStore();
    expect(await tbuildOk(['load', '-i', at('docker.tar')], { store: other })).toBe('Loaded image: box:1\n');
    expect(await tbuildOk(['load', '--oci-layout', at('layout')], { store: other })).toBe(
      'Loaded image: box:1\nLoaded image: box:2\n',
    );
    expect(await imageId(other, 'box:2')).toBe(await imageId(store, 'busybox'));
    await tbuildOk(['save', '--format', 'oci', '-o', at('again.tar'), 'box:2'], { store: other });
    expect(skopeoDigest(`oci-archive:${at('again.tar')}`)).toBe(skopeoDigest(`oci:${at('layout')}`));
    expect(await tbuildOk(['fsck'], { store: other })).toMatch(/no problems/);
  });

  needing('podman', 'by podman: both formats, several images', async () => {
    const store = freshStore();
    await tbuildOk(['save', '-o', at('docker.tar'), 'busybox', 'debian:12'], { store });
    podman('load', '--quiet', '-i', at('docker.tar'));
    podman('save', '--quiet', '--multi-image-archive', '-o', at('both.tar'), 'busybox', 'debian:12');
    podman('save', '--quiet', '--format', 'oci-archive', '-o', at('oci.tar'), 'debian:12');
    const other = emptyStore();
    await tbuildOk(['load', '-i', at('both.tar')], { store: other });
    expect(await imageId(other, 'localhost/debian:12')).toBe(await imageId(store, 'debian:12'));
    expect(await imageId(other, 'localhost/busybox')).toBe(await imageId(store, 'busybox'));
    await tbuildOk(['load', '-i', at('oci.tar')], { store: other });
    expect(await imageId(other, 'localhost/debian:12')).toMatch(/^sha256:/);
    expect(await tbuildOk(['fsck'], { store: other })).toMatch(/no problems/);
  });

  needing('umoci', 'by umoci: a layer added to a layout of ours', async () => {
    const store = freshStore();
    await tbuildOk(['save', '--format', 'oci', '-o', at('busybox.tar'), 'busybox'], { store });
    mkdirSync(at('layout'));
    run('tar', 'xf', at('busybox.tar'), '-C', at('layout'));
    writeFiles(folder, new Map([['add/hello', 'hello']]));
    run('umoci', 'insert', '--image', `${at('layout')}:latest`, at('add'), '/tmp');
    expect(await tbuildOk(['load', '--oci-layout', at('layout'), '-t', 'more'], { store })).toBe('Loaded image: more:latest\n');
    const [image] = JSON.parse(await tbuildOk(['inspect', 'more'], { store })) as { RootFS: { Layers: string[] } }[];
    expect(image?.RootFS.Layers).toHaveLength(2);
  });

  test('through standard input, compressed', async () => {
    const store = freshStore();
    await tbuildOk(['save', '--format', 'oci', '-o', at('a.tar'), 'busybox'], { store });
    run('zstd', '-q', at('a.tar'), '-o', at('a.tar.zst'));
    const other = emptyStore();
    const input = readFileSync(at('a.tar.zst'));
    expect(await tbuildOk(['load'], { store: other, input })).toBe('Loaded image: busybox:latest\n');
  });
});

test('a hostile archive: exit code 6, one line, and nothing left in the store', async () => {
  const store = emptyStore();
  const input = await archiveOf(await oldDockerArchive([await layerOf('../../../tmp/tbuild-escaped', 'x')]));
  const { code, stderr } = await tbuild(['load'], { store, input });
  expect(code).toBe(6);
  expect(stderr).toMatch(/^error: standard input: app:latest: cannot unpack the layer sha256:/);
  expect(readdirSync(path.join(store, 'layers'))).toEqual([]);
  expect(existsSync('/tmp/tbuild-escaped')).toBe(false);
  expect(await tbuildOk(['fsck'], { store })).toMatch(/^checked 0 images, 0 layers, 0 blobs: no problems$/m);
});
