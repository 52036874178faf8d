// Layers that are made to do harm, in images that are otherwise as they should be: loaded from a layout and pulled from the real docker-registry, each is
// one clear error, nothing is written outside the store or left in it, and a good image comes in afterwards. What the reader makes of each member is
// tested beside it (runner-native/crates/layers/src/tests/hostile.rs).

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addImage, configOf, type Entry, type Files, hexOf, setIndex, tarOf, writeFiles } from '../support/archives.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { emptyStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

const OUTSIDE = '/tmp/tbuild-hostile-layer';
let registry: DockerRegistry;
let folder: string;
beforeAll(async () => {
  registry = await startDockerRegistry();
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-hostile-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const file = (name: string, more: Partial<Entry> = {}): Entry => ({ name, content: 'x', ...more });
const pax = (values: Record<string, string>): Partial<Entry> => ({ pax: values });

/** A file whose header says what `change` makes of it, with a right checksum. */
async function bent(change: (header: Buffer) => void): Promise<Buffer> {
  const tar = await tarOf([file('bent')]);
  change(tar);
  tar.write('        ', 148, 'latin1');
  const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return tar;
}

/** Ten gigabytes of nothing, in some hundred kilobytes: never held, here or there. */
function bomb(): { blob: Buffer; diffId: string } {
  const script = `import sys
header = bytearray(512)
def put(at, text): header[at:at + len(text)] = text
put(0, b'zeros'); put(100, b'0000644\\0'); put(108, b'0000000\\0'); put(116, b'0000000\\0')
put(124, b'%011o\\0' % (10 << 30 >> 1)); put(136, b'00000000000\\0'); put(148, b' ' * 8); put(156, b'0'); put(257, b'ustar\\00000')
put(148, b'%06o\\0 ' % sum(header))
out = sys.stdout.buffer
for _ in range(2):
    out.write(header)
    for _ in range(5 << 10): out.write(bytes(1 << 20))
out.write(bytes(1024))`;
  const blob = execFileSync('sh', ['-c', 'python3 -c "$1" | zstd -q -1', 'sh', script], { maxBuffer: 1 << 26 });
  return { blob, diffId: `sha256:${hexOf('nobody gets as far as that')}` };
}

type Layer = Buffer | { blob: Buffer; diffId: string };

const UP = '/../../../../../../../..';
const cases: Readonly<Record<string, readonly [expected: RegExp, make: () => Layer | Promise<Layer>]>> = {
  'a name that climbs out': [/leads out of the archive/, () => tarOf([file(`..${UP}${OUTSIDE}`)])],
  'a name that climbs out behind what is there': [
    /leads out of the archive/,
    () => tarOf([file('a/b'), file(`a/..${UP}${OUTSIDE}`)]),
  ],
  'a pax name that climbs out': [/leads out of the archive/, () => tarOf([file('a', pax({ path: `../..${OUTSIDE}` }))])],
  'a hard link to what is outside': [
    /leads out of the archive/,
    () => tarOf([{ name: 'passwd', type: 'link', linkname: '../../etc/passwd' }]),
  ],
  'a hard link to what is not there': [
    /is to nothing of this archive/,
    () => tarOf([{ name: 'passwd', type: 'link', linkname: '/etc/passwd' }]),
  ],
  'a hard link to what comes later': [
    /is to nothing of this archive/,
    () => tarOf([{ name: 'a', type: 'link', linkname: 'b' }, file('b')]),
  ],
  'a hard link to a directory': [
    /is to nothing of this archive/,
    () =>
      tarOf([
        { name: 'd', type: 'directory' },
        { name: 'a', type: 'link', linkname: 'd' },
      ]),
  ],
  'symlinks in a circle on the way': [
    /too many symlinks/,
    () => tarOf([{ name: 'a', type: 'symlink', linkname: 'b' }, { name: 'b', type: 'symlink', linkname: 'a' }, file('a/x')]),
  ],
  'a file on the way': [/is no directory/, () => tarOf([file('a'), file('a/b')])],
  'a root that is a symlink': [/root/, () => tarOf([{ name: '.', type: 'symlink', linkname: '/etc' }])],
  'a whiteout of nothing': [/hides nothing/, () => tarOf([file('d/.wh.')])],
  'a whiteout of what is above': [/cannot unpack the layer/, () => tarOf([file('d/.wh...')])],
  'a whiteout as a directory': [/cannot unpack the layer/, () => tarOf([file('.wh.d/x')])],
  'a device that overlayfs takes for a whiteout': [
    /cannot unpack the layer/,
    () => tarOf([{ name: 'c', type: 'character-device', devmajor: 0, devminor: 0 }]),
  ],
  'a pax header that is too long': [/more than 1 MiB/, () => tarOf([file('a', pax({ comment: 'x'.repeat(2 << 20) }))])],
  'a name that is too long': [/cannot unpack the layer/, () => tarOf([file('a', pax({ path: 'n'.repeat(300) }))])],
  'an attribute that is too long': [
    /cannot unpack the layer/,
    () => tarOf([file('a', pax({ 'SCHILY.xattr.user.a': 'x'.repeat(70_000) }))]),
  ],
  'a negative size': [/size is negative/, () => bent((header) => header.fill(0xff, 124, 136))],
  'a size of all there is': [/cannot unpack the layer/, () => bent((header) => header.write('77777777777\0', 124, 'latin1'))],
  'a pax size that is no number': [/malformed/, () => tarOf([file('a', pax({ size: '1e9' }))])],
  'a time that is no number': [/malformed/, () => tarOf([file('a', pax({ mtime: '1e-09' }))])],
  'a time out of range': [/malformed/, () => tarOf([file('a', pax({ mtime: '99999999999999999999' }))])],
  'an owner out of range': [/out of range/, () => tarOf([file('a', pax({ uid: '4294967295' }))])],
  'a sparse map that lies': [/sparse/, () => tarOf([file('a', pax({ 'GNU.sparse.map': '0,9', 'GNU.sparse.size': '10' }))])],
  'a hole of eight exabytes': [
    /unpacks to more than|too large|TiB/,
    () => tarOf([file('a', pax({ 'GNU.sparse.map': '0,1', 'GNU.sparse.size': '9223372036854775807' }))]),
  ],
  'a member of no known type': [/unknown type/, () => bent((header) => header.write('Q', 156, 'latin1'))],
  'an end in the middle': [
    /ends in the middle/,
    async () => (await tarOf([file('a', { content: 'x'.repeat(5000) })])).subarray(0, 2000),
  ],
  'ten gigabytes of zeros': [/unpacks to more than 1 GiB/, bomb],
};

function writeLayout(name: string, layer: Layer, compress: typeof gzipSync | null): string {
  const files: Files = new Map();
  const blob = 'blob' in layer ? layer.blob : layer;
  const config = 'diffId' in layer ? configOf([blob]).replace(`sha256:${hexOf(blob)}`, layer.diffId) : undefined;
  const descriptor = addImage(files, [blob], config, 'blob' in layer ? null : compress);
  setIndex(files, [{ ...descriptor, annotations: { 'org.opencontainers.image.ref.name': 'it' } }]);
  return writeFiles(path.join(folder, name), files);
}

/** Everything in it that a failure could leave. */
async function expectNothing(store: string): Promise<void> {
  expect(await tbuildOk(['fsck'], { store })).toMatch(/checked 0 images, 0 layers, 0 blobs: no problems/);
  const left = (name: string) => readdirSync(path.join(store, name)).filter((each) => !each.startsWith('.'));
  for (const name of ['layers', 'blobs/sha256', 'tmp']) expect(left(name), name).toEqual([]);
  expect(existsSync(OUTSIDE)).toBe(false);
}

describe('an image with', () => {
  it.each(Object.entries(cases))('%s', async (name, [expected, make]) => {
    const key = name.replaceAll(/\W+/g, '-');
    const [evil, good] = [await make(), await tarOf([file('good')])];
    const store = emptyStore();
    const source = writeLayout(key, evil, gzipSync);
    const loaded = await tbuild(['load', '--oci-layout', source, '-t', 'app'], { store });
    expect([loaded.code, loaded.stderr]).toEqual([6, expect.stringMatching(expected)]);
    await expectNothing(store);

    const remote = `${registry.host}/${key.toLowerCase()}:1`;
    const push = (from: string) =>
      execFileSync('skopeo', ['copy', '-q', '--dest-tls-verify=false', `oci:${from}:it`, `docker://${remote}`]);
    push(writeLayout(`${key}-zstd`, evil, zstdCompressSync as unknown as typeof gzipSync));
    const pulled = await tbuild(['pull', remote], { store });
    expect([pulled.code, pulled.stderr]).toEqual([6, expect.stringMatching(expected)]);
    await expectNothing(store);

    push(writeLayout(`${key}-good`, good, gzipSync));
    await tbuildOk(['pull', '-q', remote], { store });
    expect(await tbuildOk(['fsck'], { store })).toMatch(/checked 1 images?, 1 layers?, .*no problems/);
  });
});
