// `--reproducible` and SOURCE_DATE_EPOCH: what images say of times and of where they were built. Each cold build has a store of its own, and differs
// from the other in all that a host can differ in without privilege: time, directory, order of creation, umask, modes, time zone, user name, language.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { freshStore } from '../support/stores.ts';
import { repository, tbuild, tbuildOk } from '../support/tbuild.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-reproducible-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Inspected {
  readonly Id: string;
  readonly Created: string;
  readonly RootFS: { readonly Layers: readonly string[] };
}

const inspect = async (store: string, name: string): Promise<Inspected> =>
  (JSON.parse(await tbuildOk(['inspect', name], { store })) as [Inspected])[0];

const history = async (store: string, name: string) =>
  (await tbuildOk(['history', '--format', 'json', '--no-trunc', name], { store }))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { CreatedAt: string; CreatedBy: string });

/** One side: files come into being in this order, with this umask, and tbuild runs with it. */
interface Side {
  readonly files: readonly (readonly [name: string, content: string])[];
  readonly umask: string;
  readonly env: NodeJS.ProcessEnv;
  readonly directory: string;
}

const dockerfile = [
  'FROM busybox AS tools',
  'RUN echo tool > /tool',
  'FROM busybox',
  'WORKDIR /work',
  'COPY script data/ /work/dest/',
  // What commands make of the times that they see: those of the layers below. Of what a command writes itself it sees the moment.
  'RUN tar cf /archive.tar /work && ls -ln --full-time /work /work/dest > /listing; touch /made; mkdir -p a/b; echo x > a/b/c',
  'RUN touch -d 2001-01-01 /old; find /made -newer /old > /newer; umask > /umask; hostname > /hostname',
  'COPY --from=tools /tool /tool',
  'COPY <<EOT /etc/motd',
  'hello',
  'EOT',
  'RUN --mount=type=bind,target=/context cp -a /context/script /copied && ls -ln --full-time /context > /seen',
  'ADD archive.tar /added/',
  'CMD ["sh"]',
  '',
].join('\n');

const left: Side = {
  directory: 'left',
  files: [
    ['script', '#!/bin/sh\n'],
    ['data/1', 'one'],
    ['data/2', 'two'],
  ],
  umask: '022',
  env: { TZ: 'UTC', USER: 'ada', HOME: '/root', LANG: 'C' },
};

const right: Side = {
  directory: 'elsewhere/deeper/right',
  files: [
    ['data/2', 'two'],
    ['data/1', 'one'],
    ['script', '#!/bin/sh\n'],
  ],
  umask: '077',
  env: { TZ: 'Asia/Kathmandu', USER: 'grace', HOME: '/tmp', LANG: 'de_DE.UTF-8' },
};

function makeSide({ directory, files, umask }: Side, text = dockerfile): string {
  const root = path.join(folder, directory);
  mkdirSync(root, { recursive: true });
  const script = [
    'set -e',
    `umask ${umask}`,
    ...files.map(([name, content]) => `mkdir -p "$(dirname ${name})"; printf '%s' '${content}' > ${name}`),
  ];
  execFileSync('sh', ['-c', script.join('\n')], { cwd: root });
  // git keeps whether a file may be executed, and so does a build.
  chmodSync(path.join(root, 'script'), umask === '077' ? 0o700 : 0o755);
  execFileSync(
    'tar',
    ['--sort=name', '--owner=0', '--group=0', '--mtime=@1000000000', '--mode=644', '-cf', 'archive.tar', 'data/1'],
    { cwd: root },
  );
  writeFileSync(path.join(root, 'Dockerfile'), text);
  return root;
}

async function buildSide(side: Side, args: readonly string[], store = freshStore(), text = dockerfile): Promise<string> {
  const root = makeSide(side, text);
  const command = `umask ${side.umask}; exec "$0" build -q -t app "$@"`;
  execFileSync('sh', ['-c', command, path.join(repository, 'bin/tbuild'), ...args, root], {
    env: { ...process.env, TBUILD_ROOT: store, ...side.env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return store;
}

/** Digest of the manifest that save writes. */
async function manifestDigest(store: string): Promise<string> {
  const archive = path.join(folder, 'app.tar');
  await tbuildOk(['save', '--format', 'oci', '-o', archive, 'app'], { store });
  const index = execFileSync('tar', ['-xOf', archive, 'index.json'], { encoding: 'utf8' });
  return (JSON.parse(index) as { manifests: [{ digest: string }] }).manifests[0].digest;
}

describe('--reproducible', () => {
  test('two cold builds give the same image and the same manifest, whoever builds where and when', async () => {
    const one = await buildSide(left, ['--reproducible']);
    await setTimeout(1_100);
    const two = await buildSide(right, ['--reproducible']);
    expect((await inspect(two, 'app')).Id).toBe((await inspect(one, 'app')).Id);
    expect(await manifestDigest(two)).toBe(await manifestDigest(one));
    expect((await inspect(one, 'app')).Created).toBe('1980-01-01T00:00:00Z');
  });

  test('what the store held before plays no part: not other builds, not other times', async () => {
    const cold = await buildSide(left, ['--reproducible', '--build-arg', 'SOURCE_DATE_EPOCH=1700000000']);
    const warm = await buildSide(right, []);
    await buildSide(right, ['--reproducible'], warm);
    await buildSide(right, ['--reproducible', '--build-arg', 'SOURCE_DATE_EPOCH=1600000000'], warm);
    await buildSide(right, ['--reproducible', '--build-arg', 'SOURCE_DATE_EPOCH=1700000000'], warm);
    expect((await inspect(warm, 'app')).Id).toBe((await inspect(cold, 'app')).Id);
    expect((await inspect(cold, 'app')).Created).toBe('2023-11-14T22:13:20Z');
    expect((await tbuild(['fsck'], { store: warm })).code).toBe(0);
  });

  test('every time in the layers that it made is the one asked for, and another one runs nothing again', async () => {
    const store = await buildSide(left, ['--reproducible']);
    const { stderr } = await tbuild(
      [
        'build',
        '--progress=plain',
        '--reproducible',
        '--build-arg',
        'SOURCE_DATE_EPOCH=1700000000',
        '-t',
        'app',
        path.join(folder, 'left'),
      ],
      { store },
    );
    expect(stderr.match(/CACHED/g)).toHaveLength(9);
    const base = (await inspect(store, 'busybox')).RootFS.Layers.length;
    expect(layerTimes(await saved(store), base)).toEqual([1_700_000_000]);
    expect(await tbuildOk(['run', '--rm', 'app', 'stat', '-c', '%Y', '/made', '/old', '/work/dest/1'], { store })).toBe(
      '1700000000\n'.repeat(3),
    );
  });

  test('commands that ask for a time get one', async () => {
    const store = freshStore();
    const context = makeContext({
      Dockerfile: 'FROM busybox\nRUN echo $SOURCE_DATE_EPOCH > /1\nARG SOURCE_DATE_EPOCH\nRUN echo $SOURCE_DATE_EPOCH > /2\n',
    });
    await tbuildOk(['build', '-q', '-t', 'app', '--reproducible', '--build-arg', 'SOURCE_DATE_EPOCH=1700000000', context], {
      store,
    });
    expect(await tbuildOk(['run', '--rm', 'app', 'cat', '/1', '/2'], { store })).toBe('315532800\n1700000000\n');
  });

  test('what a command writes of the moment into names and files stays: that layer differs, and no other', async () => {
    const text = 'FROM busybox\nCOPY data /data\nRUN touch /made-$(cat /proc/sys/kernel/random/uuid)\nCOPY script /\n';
    const one = await inspect(await buildSide(left, ['--reproducible'], freshStore(), text), 'app');
    const two = await inspect(await buildSide(right, ['--reproducible'], freshStore(), text), 'app');
    const differing = one.RootFS.Layers.map((layer, position) => layer !== two.RootFS.Layers[position]);
    expect(differing).toEqual([...one.RootFS.Layers.slice(3).map(() => false), false, true, false]);
  });
});

describe('SOURCE_DATE_EPOCH', () => {
  const context = () => makeContext({ Dockerfile: 'FROM busybox\nENV a=1\nWORKDIR /made\nRUN true\n' });

  test('is when the image and every line of this build were made; lines of the base stay', async () => {
    const store = freshStore();
    const before = await history(store, 'busybox');
    await tbuildOk(['build', '-q', '-t', 'app', '--build-arg', 'SOURCE_DATE_EPOCH=1700000000', context()], { store });
    expect((await inspect(store, 'app')).Created).toBe('2023-11-14T22:13:20Z');
    const rows = await history(store, 'app');
    expect(new Set(rows.slice(0, 3).map(({ CreatedAt }) => CreatedAt))).toEqual(new Set([rows[0]?.CreatedAt]));
    expect(rows.slice(3)).toEqual(
      before.map((row) => expect.objectContaining({ CreatedAt: row.CreatedAt, CreatedBy: row.CreatedBy })),
    );
  });

  test('is taken from the environment, where no build argument says another', async () => {
    const store = freshStore();
    const env = { SOURCE_DATE_EPOCH: '1600000000' };
    await tbuildOk(['build', '-q', '-t', 'app', context()], { store, env });
    expect((await inspect(store, 'app')).Created).toBe('2020-09-13T12:26:40Z');
    await tbuildOk(['build', '-q', '-t', 'app', '--build-arg', 'SOURCE_DATE_EPOCH=0', context()], { store, env });
    expect((await inspect(store, 'app')).Created).toBe('1970-01-01T00:00:00Z');
  });

  test('may be a global argument; a directory has no time, and what is neither is an error', async () => {
    const store = freshStore();
    const global = makeContext({
      Dockerfile: 'ARG SOURCE_DATE_EPOCH=1600000000\nFROM busybox\nARG SOURCE_DATE_EPOCH\nRUN echo $SOURCE_DATE_EPOCH > /seen\n',
    });
    await tbuildOk(['build', '-q', '-t', 'app', global], { store });
    expect((await inspect(store, 'app')).Created).toBe('2020-09-13T12:26:40Z');
    expect(await tbuildOk(['run', '--rm', 'app', 'cat', '/seen'], { store })).toBe('1600000000\n');

    utimesSync(global, 1, 1);
    await tbuildOk(['build', '-q', '-t', 'app', '--build-arg', 'SOURCE_DATE_EPOCH=context', global], { store });
    expect((await inspect(store, 'app')).Created).toMatch(/^2[0-9]{3}-/);
    const wrong = await tbuild(['build', '--build-arg', 'SOURCE_DATE_EPOCH=yesterday', global], { store });
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('invalid SOURCE_DATE_EPOCH: yesterday')]);
  });

  test.each([
    ['FROM busybox AS when\nADD https://localhost/x /\n', 'must use FROM scratch'],
    ['FROM scratch AS when\nCOPY x /\n', 'unsupported COPY instruction'],
    ['FROM scratch AS when\nARG a\n', 'must contain exactly one remote ADD'],
    ['FROM scratch AS when\nADD Dockerfile /\n', 'source must be a single HTTP(S) or Git ADD'],
  ])('names a stage only if that is one remote ADD: %j', async (stage, message) => {
    const context = makeContext({ Dockerfile: `${stage}FROM scratch\n` });
    const { code, stderr } = await tbuild(['build', '--build-arg', 'SOURCE_DATE_EPOCH=when', context], { store: freshStore() });
    expect([code, stderr]).toEqual([3, expect.stringContaining(message)]);
    expect(stderr).toContain('Dockerfile:1');
  });
});

async function saved(store: string): Promise<string> {
  const archive = path.join(folder, 'saved.tar');
  await tbuildOk(['save', '--format', 'oci', '-o', archive, 'app'], { store });
  return archive;
}

/** The times that members of an image's layers have, without those of the first layers. */
function layerTimes(archive: string, without: number): number[] {
  const script = `
import json, sys, tarfile, gzip, io
outer = tarfile.open(sys.argv[1])
read = lambda digest: outer.extractfile('blobs/sha256/' + digest.split(':')[1]).read()
manifest = json.loads(read(json.load(outer.extractfile('index.json'))['manifests'][0]['digest']))
times = set()
for layer in manifest['layers'][int(sys.argv[2]):]:
    times |= {m.mtime for m in tarfile.open(fileobj=io.BytesIO(gzip.decompress(read(layer['digest'])))) if '.wh.' not in m.name}
print(json.dumps(sorted(times)))
`;
  return JSON.parse(execFileSync('python3', ['-c', script, archive, String(without)], { encoding: 'utf8' })) as number[];
}
