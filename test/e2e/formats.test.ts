// One image through every pair of the ways in and out: whatever it passes, its config digest and its diff IDs stay, be its layers ours or others'. What is
// made of several gzip members is read by others: Go's gzip, GNU's and Python's.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../support/archives.ts';
import { makeContext } from '../support/contexts.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { asOwner, isRoot } from '../support/own-files.ts';
import { emptyStore } from '../support/stores.ts';
import { repository, tbuildOk } from '../support/tbuild.ts';

let registry: DockerRegistry;
let folder: string;
/** The store that has it, and what it must stay. */
let origin: string;
let wanted: { id: string; layers: string[] };

beforeAll(async () => {
  registry = await startDockerRegistry();
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-formats-'));
  origin = emptyStore();
  // A layer in a form that is nobody's but its archiver's, below one of ours.
  const base = `mkdir -p base/bin base/etc && cp /bin/busybox base/bin/sh && for name in seq ln mkdir chmod; do ln base/bin/sh base/bin/$name; done &&
    truncate -s 1M base/etc/hole && tar --format=pax -S --sparse-version=1.0 --blocking-factor=33 --owner=7 -cf base.tar -C base etc bin`;
  execFileSync('sh', ['-ec', base], { cwd: folder });
  await tbuildOk(['import', path.join(folder, 'base.tar'), 'base'], { store: origin });
  const files = {
    Dockerfile: 'FROM base\nRUN seq 1 400000 > /numbers; mkdir -p /d; ln -s x /d/y; ln /numbers /d/same; chmod 4755 /numbers\n',
  };
  await tbuildOk(['-t', 'app', makeContext(files)], { store: origin });
  wanted = await identify(origin);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function identify(store: string): Promise<{ id: string; layers: string[] }> {
  const [found] = JSON.parse(await tbuildOk(['inspect', 'app'], { store }));
  return { id: found.Id, layers: found.RootFS.Layers };
}

/** Takes `app` out of one store and into another. */
type Way = (from: string, to: string, key: string) => Promise<void>;

function throughArchive(...flags: string[]): Way {
  return async (from, to, key) => {
    const archive = path.join(folder, `${key}.tar`);
    await tbuildOk(['save', ...flags, '-o', archive, 'app'], { store: from });
    await tbuildOk(['load', '-i', archive], { store: to });
  };
}

function throughRegistry(...flags: string[]): Way {
  return async (from, to, key) => {
    const name = `${registry.host}/${key}:1`;
    await tbuildOk(['tag', 'app', name], { store: from });
    await tbuildOk(['push', '-q', ...flags, name], { store: from });
    await tbuildOk(['pull', '-q', name], { store: to });
    await tbuildOk(['tag', name, 'app'], { store: to });
  };
}

const ways: Readonly<Record<string, Way>> = {
  'docker-archive': throughArchive(),
  'docker-archive-zstd': throughArchive('--compression', 'zstd'),
  'oci-archive': throughArchive('--format', 'oci'),
  'oci-archive-plain': throughArchive('--format', 'oci', '--compression', 'uncompressed', '--force-compression'),
  'oci-archive-zstd': throughArchive('--format', 'oci', '--compression', 'zstd', '--force-compression'),
  'gzip-push': throughRegistry(),
  'zstd-push': throughRegistry('--compression', 'zstd', '--force-compression'),
  'plain-push': throughRegistry('--compression', 'uncompressed', '--force-compression'),
};

describe.each(Object.keys(ways))('%s', (first) => {
  let between: string;
  beforeAll(async () => {
    between = emptyStore();
    await (ways[first] as Way)(origin, between, first);
    expect(await tbuildOk(['fsck'], { store: between })).toContain('no problems');
  });

  it.each(Object.keys(ways))('then %s', async (second) => {
    expect(await identify(between)).toEqual(wanted);
    const last = emptyStore();
    await (ways[second] as Way)(between, last, `${first}-${second}`);
    expect(await identify(last)).toEqual(wanted);
  });
});

it('a pull and a push keep the digest of the manifest, whoever compressed', async () => {
  for (const name of ['gzip-push', 'zstd-push', 'plain-push']) {
    const [from, to] = [`${registry.host}/${name}:1`, `${registry.host}/again/${name}:2`];
    const store = emptyStore();
    await tbuildOk(['pull', '-q', from], { store });
    await tbuildOk(['tag', from, to], { store });
    await tbuildOk(['push', '-q', to], { store });
    const raw = (image: string) => execFileSync('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${image}`]);
    expect(raw(to).equals(raw(from)), name).toBe(true);
  }
});

describe('everything that was written', () => {
  let layout: string;
  beforeAll(() => {
    layout = path.join(folder, 'layout');
    for (const name of ['gzip-push', 'zstd-push', 'plain-push', 'docker-archive-gzip-push', 'zstd-push-zstd-push']) {
      const flags = ['-q', '--src-tls-verify=false', '--preserve-digests'];
      execFileSync('skopeo', ['copy', ...flags, `docker://${registry.host}/${name}:1`, `oci:${layout}:${name}`]);
    }
  });

  it('is valid', ({ skip }) => {
    const validator = path.join(repository, '../shared/conformance/validate_image.py');
    if (!existsSync(validator)) skip(`not validated: ${validator} is not there`);
    const validate = (of: string) => execFileSync('python3', [validator, of], { encoding: 'utf8' });
    expect(validate(layout)).toBe('VALID\n');
    for (const name of Object.keys(ways).filter((each) => each.includes('archive'))) {
      const unpacked = path.join(folder, `${name}-unpacked`);
      mkdirSync(unpacked);
      execFileSync('tar', ['xf', path.join(folder, `${name}.tar`), '-C', unpacked]);
      expect(validate(unpacked), name).toBe('VALID\n');
    }
  });

  it('is of several gzip members, which Python, GNU gzip and Go read', () => {
    const manifests = JSON.parse(readFileSync(path.join(layout, 'index.json'), 'utf8')).manifests as {
      digest: string;
      annotations: Record<string, string>;
    }[];
    const blob = (digest: string) => path.join(layout, 'blobs', digest.replace(':', '/'));
    const gzipped = manifests.find(({ annotations }) => annotations['org.opencontainers.image.ref.name'] === 'gzip-push');
    const { layers } = JSON.parse(readFileSync(blob(gzipped?.digest as string), 'utf8')) as { layers: { digest: string }[] };
    const python = 'import gzip, sys; sys.stdout.buffer.write(gzip.open(sys.argv[1]).read())';
    for (const [position, { digest }] of layers.entries()) {
      for (const [command, ...args] of [
        ['python3', '-c', python],
        ['gzip', '-dc'],
      ] as const) {
        const tar = execFileSync(command, [...args, blob(digest)], { maxBuffer: 1 << 26, stdio: ['ignore', 'pipe', 'pipe'] });
        expect(digestOf(tar), command).toBe(wanted.layers[position]);
      }
    }
    expect(Math.max(...layers.map(({ digest }) => gzipMembers(readFileSync(blob(digest)))))).toBeGreaterThan(1);
    // umoci reads as containerd does, by Go's gzip, and checks the diff IDs.
    const bundle = path.join(folder, 'bundle');
    asOwner('umoci', ['unpack', ...(isRoot ? [] : ['--rootless']), '--image', `${layout}:gzip-push`, bundle]);
    expect(readFileSync(path.join(bundle, 'rootfs/numbers'), 'utf8').split('\n')).toHaveLength(400_001);
  });
});

/** By their headers, which a compressed content can hold by chance alone. */
const gzipMembers = (blob: Buffer): number => blob.toString('latin1').split('\x1f\x8b\x08').length - 1;
