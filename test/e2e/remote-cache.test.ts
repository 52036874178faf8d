// `--cache-to` and `--cache-from` on the real docker-registry and in a directory: what another machine has done is not done again, no layer is fetched
// before it is needed, jobs that write at the same time do not disturb each other, and whatever is wrong with a cache is a miss.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { type RegistryProxy, startRegistryProxy } from '../support/registry-proxy.ts';
import { emptyStore, freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

let registry: DockerRegistry;
let proxy: RegistryProxy;
let folder: string;

beforeAll(async () => {
  registry = await startDockerRegistry();
  proxy = await startRegistryProxy(registry.host);
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-remote-cache-'));
  const store = freshStore();
  await tbuildOk(['tag', 'busybox', `${proxy.host}/base`], { store });
  await tbuildOk(['push', `${proxy.host}/base`], { store });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const dockerfile = (base: string, last = 'wc -l /sorted > /count') => `FROM ${base} AS make
COPY src /src
RUN sort /src/words > /sorted && seq 200000 > /numbers
FROM ${base}
COPY --from=make /sorted /sorted
COPY readme /readme
RUN ${last}
`;

function context(files: Record<string, string> = {}, base = `${proxy.host}/base`): string {
  return makeContext({ Dockerfile: dockerfile(base), 'src/words': 'b\na\n', readme: 'read me\n', ...files });
}

/** As the other, but for the last command. */
function changedContext(base = `${proxy.host}/base`): string {
  return context({ Dockerfile: dockerfile(base, 'sort -r /sorted > /reversed') }, base);
}

const cached = (output: string): string[] =>
  [...output.matchAll(/^#(\d+) CACHED$/gm)].map(([, number]) => new RegExp(`^#${number} (\\[.*)$`, 'm').exec(output)?.[1] ?? '');
const imageOf = (output: string): string => /^image +(sha256:[0-9a-f]{64})/m.exec(output)?.[1] ?? '';
const sentBytes = (output: string): number => Number(/(\d+) bytes sent/.exec(output)?.[1]);
const dataFiles = (store: string) => readdirSync(path.join(store, 'layers')).filter((name) => !name.endsWith('.index'));

describe('in the registry that the image is pushed to', () => {
  const to = () => ['--cache-to', `type=registry,ref=${proxy.host}/cache,mode=max`];
  const from = () => ['--cache-from', `type=registry,ref=${proxy.host}/cache`];
  let first: string;

  it('a build on an empty machine pulls no layer, pushes none, and makes the same image', async () => {
    const store = emptyStore();
    first = imageOf((await tbuild(['-t', `${proxy.host}/app:1`, '--push', ...to(), context()], { store })).stderr);
    proxy.log.length = 0;
    proxy.sentBytes = 0;
    const other = emptyStore();
    const { code, stderr } = await tbuild(['-t', `${proxy.host}/elsewhere/app:1`, '--push', ...from(), context()], {
      store: other,
    });
    expect(code, stderr).toBe(0);
    expect(imageOf(stderr)).toBe(first);
    expect(cached(stderr).length).toBe(5);
    expect(dataFiles(other)).toEqual([]);
    // The base's config is asked for; what else is fetched are manifests.
    expect(proxy.log.filter((line) => /^GET .*\/blobs\//.test(line)).length).toBeLessThanOrEqual(2);
    expect(proxy.log.filter((line) => line.startsWith('POST') && line.endsWith(' 201')).length).toBeGreaterThanOrEqual(4);
    expect(proxy.sentBytes).toBeLessThan(3000);
    expect(await tbuildOk(['fsck'], { store: other })).toContain('no problems');
    // What is to run has its data fetched, and is what it would have been.
    expect(await tbuildOk(['run', '--rm', `${proxy.host}/elsewhere/app:1`, 'cat', '/count'], { store: other })).toBe(
      '2 /sorted\n',
    );
    expect(dataFiles(other).length).toBeGreaterThan(0);
    expect(await tbuildOk(['fsck'], { store: other })).toContain('no problems');
    execFileSync('skopeo', [
      'copy',
      '-q',
      '--src-tls-verify=false',
      `docker://${registry.host}/elsewhere/app:1`,
      `dir:${folder}/copied`,
    ]);
  });

  it('only what is executed has its layers fetched', async () => {
    const store = emptyStore();
    proxy.log.length = 0;
    const { code, stderr } = await tbuild(['-t', 'app', ...from(), changedContext()], { store });
    expect(code, stderr).toBe(0);
    expect(cached(stderr)).toEqual([
      '[make 2/3] COPY src /src',
      '[make 3/3] RUN sort /src/words > /sorted && seq 200000 > /numbers',
      '[stage-1 2/4] COPY --from=make /sorted /sorted',
      '[stage-1 3/4] COPY readme /readme',
    ]);
    // What the last RUN stands on, and what it made; not the numbers.
    expect(dataFiles(store).filter((name) => !name.endsWith('.split')).length).toBe(4);
    expect(await tbuildOk(['run', '--rm', 'app', 'cat', '/reversed', '/readme'], { store })).toBe('b\na\nread me\n');
  });

  it('an image with layers that are elsewhere is saved, and read by others', async () => {
    const store = emptyStore();
    await tbuildOk(['-t', 'saved', ...from(), context()], { store });
    const archive = path.join(folder, 'saved.tar');
    await tbuildOk(['save', '-o', archive, 'saved'], { store });
    const loaded = emptyStore();
    await tbuildOk(['load', '-i', archive], { store: loaded });
    expect(await tbuildOk(['run', '--rm', 'saved', 'cat', '/count'], { store: loaded })).toBe('2 /sorted\n');
  });

  it('jobs that write at the same time leave all their results', async () => {
    const ref = `${proxy.host}/shared-cache`;
    const jobs = ['one\n', 'two\n', 'three\n'].map((readme) => context({ readme, 'src/words': `${readme}b\n` }));
    const write = (directory: string) =>
      tbuildOk(['--cache-to', `type=registry,ref=${ref},mode=max`, directory], { store: freshStore() });
    await Promise.all(jobs.map(write));
    for (const directory of jobs) {
      const { stderr } = await tbuild(['--cache-from', ref, directory], { store: emptyStore() });
      expect(cached(stderr).length, stderr).toBe(5);
    }
  });

  it('an inline cache is beside the image', async () => {
    await tbuildOk(['-t', `${proxy.host}/inline:1`, '--push', '--cache-to', 'type=inline', context()], { store: emptyStore() });
    const { stderr } = await tbuild(['--cache-from', `${proxy.host}/inline:1`, context()], { store: emptyStore() });
    // Of the other stage nothing is kept: its result is in a layer of the image.
    expect(cached(stderr)).toEqual(expect.arrayContaining(['[stage-1 3/4] COPY readme /readme']));
  });
});

describe('cache mounts', () => {
  const mounted = (command: string) =>
    makeContext({ Dockerfile: `FROM busybox\nRUN --mount=type=cache,id=deps,target=/deps,uid=7,mode=0750 ${command}\n` });
  const fill =
    'seq 500000 > /deps/numbers; mkdir /deps/d; ln -s ../numbers /deps/d/link; chown 9:9 /deps/d; echo one > /deps/word';
  const stores: Record<string, () => string> = {
    registry: () => `type=registry,ref=${proxy.host}/mounts`,
    local: () => `type=local,src=${folder}/mounts,dest=${folder}/mounts`,
  };

  it.each(Object.keys(stores))('survive in a %s, and a small change sends little', async (kind) => {
    const where = (stores[kind] as () => string)();
    const first = await tbuild(['--cache-to', `${where},mounts=deps`, mounted(fill)], { store: freshStore() });
    expect(first.code, first.stderr).toBe(0);
    const store = freshStore();
    const look =
      'stat -c "%a %u %g" /deps /deps/d; cat /deps/d/link | md5sum; md5sum < /deps/numbers; cat /deps/word; echo two > /deps/word';
    const second = await tbuild(['--progress=plain', '--cache-from', where, '--cache-to', `${where},mounts=all`, mounted(look)], {
      store,
    });
    expect(second.code, second.stderr).toBe(0);
    expect(second.stderr).toMatch(/750 7 0\n.*755 9 9\n.*(\w{32}) {2}-\n.*\1 {2}-\n.* one\n/);
    expect(sentBytes(second.stderr)).toBeLessThan(sentBytes(first.stderr));
    // The newest counts; what is here already stays.
    const third = await tbuild(['--progress=plain', '--cache-from', where, mounted('cat /deps/word')], { store: freshStore() });
    expect(third.stderr).toMatch(/ two\n/);
  });

  it('has a budget, and is not kept without being asked for', async () => {
    const where = `type=local,src=${folder}/budget,dest=${folder}/budget`;
    const over = await tbuild(['--cache-to', `${where},mounts=all,mounts-max=100kb`, mounted(fill)], { store: freshStore() });
    expect(over.stderr).toContain('the cache mount deps is not kept: it has ');
    await tbuildOk(['--cache-to', where, mounted(fill)], { store: freshStore() });
    const { stderr } = await tbuild(['--progress=plain', '--cache-from', where, mounted('ls /deps | wc -l')], {
      store: freshStore(),
    });
    expect(stderr).toMatch(/ 0\n/);
  });

  it('whose chunks are not whole begin empty', async () => {
    const directory = path.join(folder, 'broken-mounts');
    const where = `type=local,src=${directory},dest=${directory}`;
    await tbuildOk(['--cache-to', `${where},mounts=all`, mounted(fill)], { store: freshStore() });
    for (const file of filesOf(path.join(directory, 'blobs'))) {
      const bytes = readFileSync(file);
      bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
      writeFileSync(file, bytes);
    }
    const { code, stderr } = await tbuild(['--progress=plain', '--cache-from', where, mounted('ls /deps | wc -l')], {
      store: freshStore(),
    });
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/ 0\n/);
    expect(stderr).toContain('holds an entry that cannot be used');
  });
});

describe('prune --remote', () => {
  it('removes from a registry what is old, and says where nothing may be removed', async () => {
    const ref = `${proxy.host}/old-cache`;
    await tbuildOk(['--cache-to', `type=registry,ref=${ref},mode=max`, context()], { store: freshStore() });
    const prune = (...args: string[]) => tbuild(['prune', '--remote', ref, ...args], { store: freshStore() });
    expect((await prune('--filter', 'until=1h')).stdout).toContain('Removed 0 entries');
    expect((await prune()).stderr).toContain('needs --filter until=… or --max-used-space');
    expect((await prune('--filter', 'until=0s')).stdout).toMatch(/Removed 6 entries and \d+ blobs/);
    const { stderr } = await tbuild(['--cache-from', ref, context()], { store: emptyStore() });
    expect(cached(stderr)).toEqual([]);
    const readOnly = await startDockerRegistry({ isDeletable: false });
    await tbuildOk(['--cache-to', `type=registry,ref=${readOnly.host}/cache`, context()], { store: freshStore() });
    const refused = await tbuild(['prune', '--remote', `${readOnly.host}/cache`, '--filter', 'until=0s'], {
      store: freshStore(),
    });
    expect([refused.code, refused.stderr]).toEqual([9, expect.stringContaining('lets nothing be removed')]);
  });

  it('keeps a directory below a size: what was used last stays', async () => {
    const directory = path.join(folder, 'full');
    const build = (readme: string, ...args: string[]) =>
      tbuild([...args, context({ readme }, 'busybox')], { store: freshStore() });
    await build('old', '--cache-to', `type=local,dest=${directory},mode=max`);
    await build('new', '--cache-to', `type=local,dest=${directory},mode=max`);
    for (const entry of entriesOf(directory)) utimesSync(entry, 1, 1);
    await build('new', '--cache-from', `type=local,src=${directory}`);
    // The old file, the base that was here, and where a RUN is not watched what stood on that file.
    const { stdout } = await tbuild(['prune', '--remote', `type=local,src=${directory}`, '--filter', 'until=1h']);
    expect(stdout).toMatch(/^Removed [23] entries/);
    expect(cached((await build('new', '--cache-from', `type=local,src=${directory}`)).stderr).length).toBe(5);
    // Blobs that may belong to an entry which is still being written stay for a while.
    for (const file of filesOf(path.join(directory, 'blobs'))) utimesSync(file, 1, 1);
    await tbuildOk(['prune', '--remote', `type=local,src=${directory}`, '--max-used-space', '1']);
    expect(filesOf(directory)).toEqual([]);
  });
});

describe('in a directory', () => {
  const base = 'busybox';
  const fill = async (name: string, ...options: string[]): Promise<string> => {
    const directory = path.join(folder, name);
    await tbuildOk(['--cache-to', [`type=local,dest=${directory},mode=max`, ...options].join(), context({}, base)], {
      store: freshStore(),
    });
    return directory;
  };
  const read = (directory: string, ...options: string[]) =>
    tbuild(['-t', 'app', '--cache-from', [`type=local,src=${directory}`, ...options].join(), context({}, base)], {
      store: freshStore(),
    });

  it('every step is a hit', async () => {
    const directory = await fill('all');
    const { code, stderr } = await read(directory);
    expect(code, stderr).toBe(0);
    expect(cached(stderr).length).toBe(5);
    expect(stderr).not.toContain('warning');
  });

  it('what one driver has written another one reads: layers are the same where their contents stand elsewhere', async () => {
    const directory = await fill('drivers');
    const env = { TBUILD_DRIVER: 'directory' };
    const store = emptyStore();
    const archive = path.join(folder, 'busybox.tar');
    await tbuildOk(['save', '-o', archive, 'busybox'], { store: freshStore() });
    await tbuildOk(['load', '-i', archive], { store, env });
    const from = ['--cache-from', `type=local,src=${directory}`];
    const all = await tbuild(['-t', 'all', ...from, context({}, base)], { store, env });
    expect(cached(all.stderr).length, all.stderr).toBe(5);
    const { code, stderr } = await tbuild(['-t', 'app', ...from, changedContext(base)], { store, env });
    expect(code, stderr).toBe(0);
    expect(cached(stderr).length).toBe(4);
    expect(await tbuildOk(['run', '--rm', 'app', 'cat', '/reversed', '/readme'], { store, env })).toBe('b\na\nread me\n');
    expect(await tbuildOk(['run', '--rm', 'all', 'cat', '/count'], { store, env })).toBe('2 /sorted\n');
    expect(await tbuildOk(['fsck'], { store, env })).toContain('no problems');
    // And back again.
    await tbuildOk(['--cache-to', `type=local,dest=${folder}/back,mode=max`, changedContext(base)], { store, env });
    const other = freshStore();
    const back = await tbuild(['-t', 'app', '--cache-from', `type=local,src=${folder}/back`, changedContext(base)], {
      store: other,
    });
    expect(cached(back.stderr).length, back.stderr).toBe(5);
    expect(await tbuildOk(['run', '--rm', 'app', 'cat', '/reversed'], { store: other })).toBe('b\na\n');
    expect(await tbuildOk(['fsck'], { store: other })).toContain('no problems');
  });

  it('min keeps the steps of the image alone', async () => {
    const directory = path.join(folder, 'min');
    await tbuildOk(['--cache-to', `type=local,dest=${directory}`, context({}, base)], { store: freshStore() });
    expect(cached((await read(directory)).stderr).length).toBe(3);
  });

  it('blobs that are gone are misses', async () => {
    const directory = await fill('gone');
    const blobs = path.join(directory, 'blobs/sha256');
    const store = freshStore();
    // Hits are decided, then the data is gone.
    await tbuildOk(['-t', 'app', '--cache-from', `type=local,src=${directory}`, context({}, base)], { store });
    for (const name of readdirSync(blobs)) rmSync(path.join(blobs, name));
    const { code, stderr } = await tbuild(['-t', 'other', context({ readme: 'changed' }, base)], { store });
    expect(code, stderr).toBe(0);
    // What nothing stood on was promised for the image alone. That it is not there is found out now, and the next build knows.
    const { stderr: failure } = await tbuild(['run', '--rm', 'other', 'cat', '/count', '/readme'], { store });
    expect(failure).toContain('cannot be had any more');
    await tbuildOk(['-t', 'other', context({ readme: 'changed' }, base)], { store });
    expect(await tbuildOk(['run', '--rm', 'other', 'cat', '/count', '/readme'], { store })).toBe('2 /sorted\nchanged');
    const again = await read(directory);
    expect(again.code, again.stderr).toBe(0);
    expect(cached(again.stderr)).toEqual([]);
  });

  it.each([
    ['index', /index/],
    ['layer', /tar/],
  ])('a blob with other bytes is a miss: %s', async (what, type) => {
    const directory = await fill(`changed-${what}`);
    const changed = new Set<string>();
    for (const entry of entriesOf(directory)) {
      const [, json] = readFileSync(entry, 'utf8').split('\n') as [string, string];
      for (const layer of JSON.parse(json).layers) {
        for (const blob of [layer.index, layer.blob ?? layer.index]) {
          if (!type.test(blob.mediaType) || changed.has(blob.digest)) continue;
          changed.add(blob.digest);
          const file = path.join(directory, 'blobs/sha256', blob.digest.slice(7));
          const bytes = readFileSync(file);
          bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1);
          writeFileSync(file, bytes);
        }
      }
    }
    const store = freshStore();
    const args = ['-t', 'app', '--cache-from', `type=local,src=${directory}`];
    const built = await tbuild([...args, changedContext(base)], { store });
    expect(built.code, built.stderr).toBe(0);
    expect(await tbuildOk(['run', '--rm', 'app', 'cat', '/reversed', '/readme'], { store })).toBe('b\na\nread me\n');
    expect(await tbuildOk(['fsck'], { store })).toContain('no problems');
  });

  it('an index that is of another layer does not survive its data', async () => {
    const directory = await fill('swapped');
    const read = (entry: string) => JSON.parse(readFileSync(entry, 'utf8').split('\n')[1] as string);
    const steps = entriesOf(directory).filter((entry) => read(entry).trace);
    const sorted = steps.find((entry) => JSON.stringify(read(entry).record).includes('/sorted"')) as string;
    const readme = steps.find((entry) => JSON.stringify(read(entry).record).includes('readme')) as string;
    const [lying, other] = [read(sorted), read(readme)];
    const { index, tree } = other.layers[0];
    writeFileSync(
      sorted,
      `tbuild cache entry 1\n${JSON.stringify({ ...lying, layers: [{ ...lying.layers[0], index, tree }] })}\n`,
    );
    const store = freshStore();
    const { code, stderr } = await tbuild(['-t', 'app', '--cache-from', `type=local,src=${directory}`, changedContext(base)], {
      store,
    });
    expect(code, stderr).toBe(0);
    expect(stderr).toContain('what leads to it is built again');
    expect(await tbuildOk(['run', '--rm', 'app', 'cat', '/reversed', '/readme'], { store })).toBe('b\na\nread me\n');
    expect(await tbuildOk(['fsck'], { store })).toContain('no problems');
  });

  it('entries that are no entries are misses, and are told of once', async () => {
    const directory = await fill('nonsense');
    for (const entry of entriesOf(directory)) writeFileSync(entry, 'nonsense');
    const { code, stderr } = await read(directory);
    expect(code, stderr).toBe(0);
    expect(cached(stderr)).toEqual([]);
    expect(stderr.match(/warning: an entry of the cache/g)?.length).toBe(1);
  });

  it('with a public key only what was signed counts', async () => {
    const [ours, others] = ['ours', 'others'].map((name) => path.join(folder, name)) as [string, string];
    for (const key of [ours, others]) {
      execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', key]);
      execFileSync('openssl', ['pkey', '-in', key, '-pubout', '-out', `${key}.pub`]);
    }
    const signed = await fill('signed', `signing-key=${ours}`);
    expect(cached((await read(signed, `public-key=${ours}.pub`)).stderr).length).toBe(5);
    expect(cached((await read(signed)).stderr).length).toBe(5);
    const wrong = await read(signed, `public-key=${others}.pub`);
    expect(cached(wrong.stderr)).toEqual([]);
    expect(wrong.stderr).toContain('is signed by another key');
    const unsigned = await read(path.join(folder, 'all'), `public-key=${ours}.pub`);
    expect(cached(unsigned.stderr)).toEqual([]);
    expect(unsigned.stderr).toContain('is not signed');
  });

  it('a cache that is not there, or cannot be asked, is none', async () => {
    const { code, stderr } = await tbuild(
      ['--cache-from', `type=local,src=${folder}/nowhere`, '--cache-from', '127.0.0.1:1/cache', context({}, base)],
      { store: freshStore() },
    );
    expect(code, stderr).toBe(0);
    expect(stderr).toContain('the cache 127.0.0.1:1/cache cannot be read, the build goes on without it');
    const failed = await tbuild(['--cache-to', 'type=registry,ref=127.0.0.1:1/cache', context({}, base)], {
      store: freshStore(),
    });
    expect(failed.code).toBe(5);
    expect(failed.stderr).toContain('cannot write the cache 127.0.0.1:1/cache');
    const ignored = ['--cache-to', 'type=registry,ref=127.0.0.1:1/cache,ignore-error=true'];
    expect((await tbuild([...ignored, context({}, base)], { store: freshStore() })).code).toBe(0);
  });
});

const entriesOf = (directory: string) => filesOf(path.join(directory, 'entries'));

function filesOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
}
