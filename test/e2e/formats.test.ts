// One image through every pair of the ways in and out: whatever it passes, its config digest and its diff IDs stay, be its layers ours or others'. What is
// made of several gzip members is read by Python, which stands for readers that are neither Go's nor ours.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { emptyStore, freshStore } from '../support/stores.ts';
import { repository, tbuildOk } from '../support/tbuild.ts';

let registry: DockerRegistry;
let folder: string;
/** The store that has it, and what it must stay. */
let origin: string;
let wanted: { id: string; layers: string[] };

beforeAll(async () => {
  registry = await startDockerRegistry();
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-formats-'));
  origin = freshStore();
  const files = {
    Dockerfile:
      'FROM busybox\nRUN seq 1 400000 > /numbers; mkdir -p /d; ln -s x /d/y; ln /numbers /d/same; chmod 4755 /numbers\n',
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
  'oci-archive': throughArchive('--format', 'oci'),
  'gzip-push': throughRegistry(),
  'zstd-push': throughRegistry('--compression', 'zstd', '--force-compression'),
  'plain-push': throughRegistry('--compression', 'uncompressed', '--force-compression'),
};

describe.each(Object.keys(ways))('%s', (first) => {
  let between: string;
  beforeAll(async () => {
    between = emptyStore();
    await (ways[first] as Way)(origin, between, first);
  });

  it.each(Object.keys(ways))('then %s', async (second) => {
    expect(await identify(between)).toEqual(wanted);
    const last = emptyStore();
    await (ways[second] as Way)(between, last, `${first}-${second}`);
    expect(await identify(last)).toEqual(wanted);
    expect(await tbuildOk(['fsck'], { store: last })).toContain('no problems');
  });
});

it('everything that was pushed is valid, and Python reads its gzip members', () => {
  const layout = path.join(folder, 'layout');
  for (const name of ['gzip-push', 'zstd-push', 'plain-push', 'docker-archive-gzip-push', 'zstd-push-zstd-push']) {
    const flags = ['-q', '--src-tls-verify=false', '--preserve-digests'];
    execFileSync('skopeo', ['copy', ...flags, `docker://${registry.host}/${name}:1`, `oci:${layout}:${name}`]);
  }
  const validator = path.join(repository, '../shared/conformance/validate_image.py');
  if (existsSync(validator)) expect(execFileSync('python3', [validator, layout], { encoding: 'utf8' })).toBe('VALID\n');
  else console.log(`not validated: ${validator} is not there`);
  const script = `
import gzip, hashlib, json, sys, os
layout, ids = sys.argv[1], json.loads(sys.argv[2])
blob = lambda digest: open(os.path.join(layout, 'blobs', *digest.split(':')), 'rb').read()
for entry in json.load(open(os.path.join(layout, 'index.json')))['manifests']:
    for layer, want in zip(json.loads(blob(entry['digest']))['layers'], ids):
        if layer['mediaType'].endswith('gzip'):
            data = blob(layer['digest'])
            assert 'sha256:' + hashlib.sha256(gzip.decompress(data)).hexdigest() == want
            print(data.count(b'\\x1f\\x8b\\x08'))
`;
  const said = execFileSync('python3', ['-c', script, layout, JSON.stringify(wanted.layers)], { encoding: 'utf8' });
  expect(Math.max(...said.trim().split('\n').map(Number))).toBeGreaterThan(1);
});
