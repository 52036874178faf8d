// Layers as all kinds of archivers write them become the tree that `umoci unpack` makes of the same layer: types, modes, owners, times, attributes,
// links, devices and contents. The differences are listed here, each with its reason.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { loadLayoutImage } from '../../src/images/load-layout.ts';
import { Images } from '../../src/images/store.ts';
import type { PresentLayer } from '../../src/snapshots/layers.ts';
import { openWorkplace, type Workplace } from '../../src/snapshots/workplace.ts';
import { mountStack, type Sight, seeAll, seeIndexes } from '../contract/mounted-stack.ts';
import { addImage, configOf, type Entry, type Files, setIndex, tarOf, writeFiles } from '../support/archives.ts';
import { removeTree } from '../support/own-files.ts';
import { emptyStore } from '../support/stores.ts';

const support = path.join(import.meta.dirname, '../support/layers');
let folder: string;
let place: Workplace;

beforeAll(async () => {
  // Where the stores are: /tmp may be a file system without attributes.
  folder = mkdtempSync(path.join(inject('storesRoot'), 'layers-'));
  execFileSync('python3', [path.join(support, 'tree.py'), at('tree')]);
  place = await openWorkplace(emptyStore());
});
afterAll(async () => {
  await place?.close();
  removeTree(folder);
});

const at = (...names: string[]) => path.join(folder, ...names);
const keyOf = (name: string) => name.replaceAll(/\W+/g, '-');

const ownBuildah =
  'buildah() { command buildah --root "$FOLDER/buildah" --runroot "$FOLDER/buildah-run" --storage-driver vfs "$@"; }';

/** Standard output. ustar and v7 have no room for much, and archivers end with an error then; what there is room for is in the archive. */
function sh(script: string): Buffer {
  const { stdout, stderr } = spawnSync('sh', ['-c', `${ownBuildah}\n${script}`], {
    cwd: folder,
    env: { ...process.env, FOLDER: folder },
    maxBuffer: 1 << 28,
  });
  if (stdout.length === 0) throw new Error(`${script}: ${stderr}`);
  return stdout;
}

type Compress = (tar: Uint8Array) => Buffer;

function writeLayout(
  key: string,
  layers: readonly Uint8Array[],
  compress: Compress | null = (tar) => gzipSync(tar, { level: 1 }),
) {
  const files: Files = new Map();
  const descriptor = addImage(files, layers, configOf(layers), compress as typeof gzipSync | null);
  setIndex(files, [{ ...descriptor, annotations: { 'org.opencontainers.image.ref.name': 'it' } }]);
  writeFiles(at(key), files);
}

function umociSees(key: string, tag = 'it'): Sight[] {
  const bundle = at(`${key}-${tag}-by-umoci`);
  execFileSync('umoci', ['unpack', '--image', `${at(key)}:${tag}`, bundle], { stdio: 'pipe' });
  return seeAll(path.join(bundle, 'rootfs'));
}

async function load(key: string, tag = 'it'): Promise<PresentLayer[]> {
  const images = new Images(place.store, place.layers);
  const options = { folder: at(key), wanted: tag, platform: { os: 'linux', architecture: 'amd64' } };
  const image = await loadLayoutImage(place, images, options);
  return image.layers.map((id) => place.layers.get(id) as PresentLayer);
}

const tbuildSees = async (key: string, tag?: string): Promise<Sight[]> => seeIndexes(place, await load(key, tag));

const python = `python3 ${path.join(support, 'tar.py')}`;
/** By name: the command, and how many paths it has room for. */
const archivers: Readonly<Record<string, readonly [command: string, paths: number]>> = {
  'GNU tar, gnu': ['tar --format=gnu -cf - -C tree .', 118],
  'GNU tar, oldgnu': ['tar --format=oldgnu -cf - -C tree .', 118],
  'GNU tar, pax': ['tar --format=pax -cf - -C tree .', 118],
  'GNU tar, pax with attributes': ["tar --format=pax --xattrs --xattrs-include='*' --acls -cf - -C tree .", 118],
  'GNU tar, pax, sparse 0.0': ['tar --format=pax -S --sparse-version=0.0 -cf - -C tree .', 118],
  'GNU tar, pax, sparse 0.1': ['tar --format=pax -S --sparse-version=0.1 -cf - -C tree .', 118],
  'GNU tar, pax, sparse 1.0': ['tar --format=pax -S --sparse-version=1.0 -cf - -C tree .', 118],
  'GNU tar, ustar': ['tar --format=ustar -cf - -C tree .', 74],
  'GNU tar, v7': ['tar --format=v7 -cf - -C tree .', 52],
  'GNU tar, absolute names': ['tar --format=gnu -P --transform="s,^\\.,/,RSh" -cf - -C tree .', 118],
  'bsdtar, gnutar': ['bsdtar --format=gnutar -cf - -C tree .', 118],
  'bsdtar, pax': ['bsdtar --format=pax --xattrs --acls --fflags -cf - -C tree .', 118],
  'bsdtar, restricted pax': ['bsdtar --format=paxr --xattrs --acls -cf - -C tree .', 118],
  'bsdtar, ustar': ['bsdtar --format=ustar -cf - -C tree .', 72],
  'bsdtar, v7': ['bsdtar --format=v7 -cf - -C tree .', 48],
  'Python, pax': [`${python} PAX_FORMAT tree`, 118],
  'Python, gnu': [`${python} GNU_FORMAT tree`, 118],
  'Python, ustar': [`${python} USTAR_FORMAT tree`, 74],
};

/** The archive that leaves nothing out. */
const fullest = keyOf('GNU tar, pax with attributes');

describe('a layer as umoci unpacks it, made by', () => {
  it.each(Object.entries(archivers))('%s', async (name, [command, paths]) => {
    const key = keyOf(name);
    const tar = sh(command);
    writeFileSync(at(`${key}.tar`), tar);
    writeLayout(key, [tar]);
    const theirs = umociSees(key);
    expect(theirs).toHaveLength(paths);
    expect(await tbuildSees(key)).toEqual(theirs);
  });

  it('umoci, with Go’s archive/tar', async () => {
    sh(`{ umoci init --layout umoci && umoci new --image umoci:empty && umoci unpack --image umoci:empty packed &&
      cp -a tree/. packed/rootfs/ && umoci repack --image umoci:it packed; } >&2 && echo done`);
    const theirs = umociSees('umoci');
    expect(theirs).toHaveLength(118);
    expect(await tbuildSees('umoci')).toEqual(theirs);
  });

  it('buildah, with Go’s archive/tar', async () => {
    sh(`c=$(buildah from scratch) && cp -a tree/. "$(buildah mount "$c")"/ &&
      buildah commit -q --format oci "$c" oci:by-buildah:it >&2 && echo done`);
    const theirs = umociSees('by-buildah');
    expect(theirs).toHaveLength(118);
    expect(await tbuildSees('by-buildah')).toEqual(theirs);
  });
});

describe('what umoci does not read as it was meant', () => {
  // umoci 0.4.7 ends at the type S, which Docker, GNU tar and bsdtar read.
  it.each(['gnu', 'oldgnu'])('sparse files in the way of %s: as those of the same archive without them', async (format) => {
    writeLayout(`sparse-${format}`, [sh(`tar --format=${format} -S -cf - -C tree .`)]);
    writeLayout(`whole-${format}`, [sh(`tar --format=${format} -cf - -C tree .`)]);
    expect(await tbuildSees(`sparse-${format}`)).toEqual(await tbuildSees(`whole-${format}`));
  });

  // Go's reader takes an attribute without a value for none. GNU tar and bsdtar extract it.
  it('an attribute without a value is kept', async () => {
    sh('touch none && setfattr -n user.none none && tar --format=pax --xattrs -cf none.tar none && echo done');
    writeLayout('none-layout', [readFileSync(at('none.tar'))]);
    expect((await tbuildSees('none-layout')).at(-1)?.xattrs).toEqual({ 'user.none': '' });
    expect(umociSees('none-layout').at(-1)?.xattrs).toEqual({});
  });

  // What aufs kept in its branches is in old images of Docker's, which leaves it out, as others do.
  it('aufs’s own files are left out', async () => {
    const members = ['.wh..wh.aufs', '.wh..wh.plnk/', '.wh..wh.plnk/1.2', 'd/'];
    writeLayout('aufs', [await tarOf(members.map((member) => memberOf(member, 0o755)))]);
    expect((await tbuildSees('aufs')).map((sight) => sight.path)).toEqual(['', 'd']);
  });
});

it('is mounted as it was unpacked', async () => {
  const mounted = await mountStack(place, await load(fullest));
  try {
    // The runtime has made devices there.
    const seen = seeAll(mounted.root).filter((sight) => !/^dev(\/|$)/.test(sight.path));
    const theirs = seeAll(at(`${fullest}-it-by-umoci`, 'rootfs')).filter(({ path: name }) => name !== 'dev');
    expect(seen).toEqual(theirs);
  } finally {
    await mounted.end();
  }
});

/** The tar in three parts, each compressed for itself: as pigz, eStargz and tbuild write. */
function inParts(compress: (part: Buffer) => Buffer): Compress {
  return (tar) => {
    const third = Math.ceil(tar.length / 3);
    const parts = [0, 1, 2].map((part) => Buffer.from(tar).subarray(part * third, (part + 1) * third));
    return Buffer.concat([...parts.map(compress), compress(Buffer.alloc(0))]);
  };
}

const compressions: Readonly<Record<string, Compress | null>> = {
  none: null,
  'gzip of several members': inParts((part) => gzipSync(part)),
  'gzip with a name and a comment': (tar) => {
    writeFileSync(at('named'), tar);
    return execFileSync('gzip', ['-N', '-9', '-c', at('named')], { maxBuffer: 1 << 28 });
  },
  zstd: (tar) => zstdCompressSync(tar),
  'zstd of several frames': inParts((part) => zstdCompressSync(part)),
  'zstd, long distances and a checksum': (tar) =>
    execFileSync('zstd', ['-q', '-c', '--long=27', '--check'], { input: tar, maxBuffer: 1 << 28 }),
};

it.each(Object.entries(compressions))('compression makes no difference: %s', async (name, compress) => {
  const tar = readFileSync(at(`${fullest}.tar`));
  const key = `compressed-${keyOf(name)}`;
  writeLayout(key, [tar], compress);
  // In a store of its own, or it is the layer that is there already.
  const own = await openWorkplace(emptyStore());
  try {
    const options = { folder: at(key), wanted: 'it', platform: { os: 'linux', architecture: 'amd64' } };
    const image = await loadLayoutImage(own, new Images(own.store, own.layers), options);
    const layers = image.layers.map((id) => own.layers.get(id) as PresentLayer);
    expect(seeIndexes(own, layers)).toEqual(seeAll(at(`${fullest}-it-by-umoci`, 'rootfs')));
  } finally {
    await own.close();
  }
});

/** The times of directories that a layer only passes through are those below to umoci, of the extraction to Docker, and none to tbuild. */
const withoutTimes = (seen: readonly Sight[]): Sight[] =>
  seen.map((sight) => (sight.type === 'dir' ? { ...sight, mtime: '' } : sight));

describe('layers on top of others', () => {
  const change = `rm -r names level-0 null && rm file && mkdir file && touch file/now-a-directory && rm -r sub && touch sub &&
    chmod 700 sticky && chown 1:1 closed && mv large renamed && setfattr -n user.more -v x attributed && ln a-name fourth-name`;

  it('of umoci: whiteouts, what was a file and is a directory, and the reverse', async () => {
    sh(
      `{ cp -a packed changed && cd changed/rootfs && ${change} && cd ../.. && umoci repack --image umoci:two changed; } >&2 && echo done`,
    );
    expect(withoutTimes(await tbuildSees('umoci', 'two'))).toEqual(withoutTimes(umociSees('umoci', 'two')));
  });

  it('of buildah', async () => {
    sh(`c=$(buildah from oci:by-buildah:it) && here=$PWD && cd "$(buildah mount "$c")" && { ${change}; } && cd "$here" &&
      buildah commit -q --format oci "$c" oci:by-buildah:two >&2 && echo done`);
    expect(withoutTimes(await tbuildSees('by-buildah', 'two'))).toEqual(withoutTimes(umociSees('by-buildah', 'two')));
  });

  it.each([
    ['an opaque directory before what is in it', ['d/', 'd/.wh..wh..opq', 'd/new']],
    ['an opaque directory behind what is in it', ['d/', 'd/new', 'd/.wh..wh..opq']],
    ['an opaque directory that is not listed', ['d/.wh..wh..opq', 'd/new']],
    ['a whiteout before the file', ['d/', 'd/.wh.old', 'd/old']],
    ['a whiteout behind the file', ['d/', 'd/old', 'd/.wh.old']],
    ['a whiteout before the directory', ['.wh.d', 'd/', 'd/new']],
    ['a whiteout behind the directory', ['d/', 'd/new', '.wh.d']],
    ['a whiteout of nothing', ['.wh.none', 'd/.wh.none']],
    ['a whiteout below a file of the same layer', ['other', 'other/.wh.x']],
  ])('%s', async (name, members) => {
    const below = ['d/', 'd/sub/', 'd/old', 'd/sub/deep', 'other'].map((member) => memberOf(member, 0o700));
    const key = keyOf(name);
    writeLayout(key, [await tarOf(below), await tarOf(members.map((member) => memberOf(member, 0o755)))]);
    expect(withoutTimes(await tbuildSees(key))).toEqual(withoutTimes(umociSees(key)));
  });
});

describe('members that are written in more than one way', () => {
  const directory = (name: string, mode = 0o755): Entry => ({ name, type: 'directory', mode });
  const file = (name: string, content = name): Entry => ({ name, content });
  const symlink = (name: string, linkname: string): Entry => ({ name, type: 'symlink', linkname });
  const hardlink = (name: string, linkname: string): Entry => ({ name, type: 'link', linkname });

  it.each<readonly [string, readonly Entry[]]>([
    [
      'absolute names, dots and slashes',
      [file('/a'), file('./b'), file('//c//d'), file('e/./f'), file('g/../h'), directory('./', 0o700)],
    ],
    ['a file twice: the last one', [file('a', '1'), file('b'), file('a', '22')]],
    [
      'a directory twice: the last one’s attributes, and what is in it',
      [directory('d', 0o700), file('d/x'), directory('d', 0o755)],
    ],
    ['a file, then a directory', [file('a'), directory('a'), file('a/b')]],
    ['a directory, then a file', [directory('a'), file('a/b'), file('a', 'file')]],
    ['a directory, then a symlink', [directory('a'), file('a/b'), symlink('a', 'c')]],
    ['a symlink, then a directory', [symlink('a', '/etc'), directory('a'), file('a/b')]],
    ['a symlink, then a file', [file('b', 'kept'), symlink('a', 'b'), file('a', 'new')]],
    ['a name of a linked file, again', [file('a', 'one'), hardlink('b', 'a'), file('a', 'two')]],
    ['links by absolute names, and to symlinks', [file('a'), hardlink('b', '/a'), symlink('s', 'a'), hardlink('t', 's')]],
    ['a link in the place of a directory', [file('a'), directory('d'), file('d/x'), hardlink('d', 'a')]],
    ['through a symlink of the same layer', [directory('real'), symlink('to', 'real'), file('to/x'), hardlink('y', 'to/x')]],
    ['through an absolute symlink', [directory('real/sub'), symlink('to', '/real/sub'), file('to/x')]],
    ['through a symlink that leads above the root', [directory('etc'), symlink('to', '../../../../etc'), file('to/x')]],
  ])('%s', async (name, members) => {
    const key = keyOf(name);
    writeLayout(key, [await tarOf([directory('.'), ...members])]);
    expect(withoutTimes(await tbuildSees(key))).toEqual(withoutTimes(umociSees(key)));
  });
});

function memberOf(name: string, mode: number): Entry {
  return name.endsWith('/') ? { name, mode, type: 'directory' } : { name, mode, content: /\.wh\./.test(name) ? '' : `${mode}` };
}

it('the framing is kept: what was loaded goes out as it came, however it was made', async () => {
  for (const name of Object.keys(archivers)) {
    const [layer] = await load(keyOf(name));
    const out = place.newPath();
    await place.layers.writeTar(layer as PresentLayer, { out, compression: 'gzip' });
    expect(gunzipSync(readFileSync(out)).equals(readFileSync(at(`${keyOf(name)}.tar`))), name).toBe(true);
  }
});
