// ADD of local archives: what comes out of one, as BuildKit extracts it (solver/llbsolver/file: unpack.go, unpack_root.go), and what hostile ones come
// to: the right tree or one clear error, and nothing anywhere else.

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { type Entry, tarOf } from '../support/archives.ts';
import { type BuildSettings, buildError, buildImage } from '../support/built-image.ts';
import { makeContext } from '../support/contexts.ts';

const outside = path.join(tmpdir(), 'tbuild-add-escaped');
const through = (command: string, input: Buffer, ...args: string[]) => execFileSync(command, args, { input, maxBuffer: 1 << 30 });

function contextWith(files: Readonly<Record<string, Buffer | string>>): string {
  const context = makeContext({});
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(context, name)), { recursive: true });
    writeFileSync(path.join(context, name), content);
  }
  return context;
}

async function add(
  entries: readonly Entry[] | Buffer,
  instruction = 'ADD x.tar /d/',
  base = 'FROM scratch',
  settings: BuildSettings = {},
) {
  const tar = Buffer.isBuffer(entries) ? entries : await tarOf(entries);
  return buildImage(`${base}\n${instruction}\n`, { context: contextWith({ 'x.tar': tar }), timeoutMs: 60_000, ...settings });
}

async function refused(
  entries: readonly Entry[] | Buffer,
  settings: BuildSettings = {},
  instruction = 'ADD x.tar /d/',
): Promise<string> {
  const tar = Buffer.isBuffer(entries) ? entries : await tarOf(entries);
  const context = contextWith({ 'x.tar': tar });
  const said = await buildError(`FROM busybox\n${instruction}\n`, { context, timeoutMs: 60_000, ...settings });
  expect(said).not.toMatch(/bug in tbuild|^\s+at /m);
  expect(existsSync(outside)).toBe(false);
  return said;
}

describe('an archive', () => {
  it('is told by its content, whatever it is called and however it is compressed', async () => {
    const tar = await tarOf([{ name: 'f', content: 'x' }]);
    const context = contextWith({
      plain: tar,
      'x.txt': gzipSync(tar),
      'x.gz': through('bzip2', tar),
      'x.zip': through('xz', tar),
      'x.png': through('zstd', tar),
      twice: Buffer.concat([gzipSync(tar.subarray(0, 512)), gzipSync(tar.subarray(512))]),
    });
    const names = ['plain', 'x.txt', 'x.gz', 'x.zip', 'x.png', 'twice'];
    const { text } = await buildImage(`FROM scratch\n${names.map((name) => `ADD ${name} /${name}/\n`).join('')}`, { context });
    expect(names.map((name) => text(`${name}/f`))).toEqual(names.map(() => 'x'));
  });

  it('is copied as it is where that is asked for, and by COPY', async () => {
    const tar = gzipSync(await tarOf([{ name: 'f', content: 'x' }]));
    const { list, files } = await add(tar, 'ADD --unpack=false x.tar /d/\nCOPY x.tar /c/\nADD --unpack=true x.tar /u/');
    expect([list('d'), list('c'), list('u')]).toEqual([['x.tar'], ['x.tar'], ['f']]);
    expect(files.get('d/x.tar')?.content.equals(tar)).toBe(true);
  });

  it('that is none, though it looks like one, is copied as it is', async () => {
    const tar = await tarOf([{ name: 'f', content: 'x' }]);
    const wrongSum = Buffer.from(tar);
    wrongSum.writeUInt8(0x39, 0);
    const files = {
      'text.gz': gzipSync('no tar'),
      'nested.gz': gzipSync(gzipSync(tar)),
      wrongSum,
      short: tar.subarray(0, 400),
      empty: '',
      zeros: Buffer.alloc(2048),
      'cut.gz': gzipSync(tar).subarray(0, 30),
    };
    const { list } = await buildImage('FROM scratch\nADD * /d/\n', { context: contextWith(files) });
    expect(list('d')).toEqual(Object.keys(files).sort());
  });

  it('keeps modes, owners, times, links; its directories are merged', async () => {
    const entries: Entry[] = [
      { name: 'dir', type: 'directory', mode: 0o710, uid: 5, gid: 6, mtime: new Date(1e12) },
      {
        name: 'dir/set',
        content: 'x',
        mode: 0o4755,
        uid: 7,
        gid: 8,
        mtime: new Date(1.2e12),
        pax: { 'SCHILY.xattr.user.note': 'n' },
      },
      { name: 'dir/hard', type: 'link', linkname: 'dir/set' },
      { name: 'soft', type: 'symlink', linkname: '../../anywhere' },
      { name: 'implied/deep/f', content: 'y', uid: 9 },
    ];
    const { stat, files } = await add(entries, 'ADD x.tar /d/', 'FROM busybox\nRUN mkdir -p /d/dir/sub && touch /d/dir/old');
    expect(['d/dir', 'd/dir/set', 'd/dir/old'].map(stat)).toEqual(['710 5:6', '4755 7:8', '644 0:0']);
    expect(files.get('d/dir/set')).toMatchObject({ mtime: new Date(1.2e12) });
    // Attributes of users are left out, as those of a context's files are.
    expect(JSON.stringify(files.get('d/dir/set')?.pax)).not.toContain('user.note');
    expect(files.get('d/dir/hard')?.name).toBe('d/dir/hard');
    expect(files.get('d/soft')).toMatchObject({ type: 'symlink', linkname: '../../anywhere' });
    expect([stat('d/implied'), stat('d/implied/deep'), stat('d/implied/deep/f')]).toEqual(['755 0:0', '755 0:0', '644 9:0']);
  });

  it('has the owner that is asked for, its own modes whatever is asked for, and all its members whatever is excluded', async () => {
    const entries: Entry[] = [
      { name: 'dir', type: 'directory', mode: 0o711, uid: 5 },
      { name: 'dir/f', content: 'x', mode: 0o640, uid: 5 },
    ];
    const { stat } = await add(entries, 'ADD --chown=3:4 --chmod=777 --exclude=dir x.tar /new/d/');
    expect(['new', 'new/d', 'new/d/dir', 'new/d/dir/f'].map(stat)).toEqual(['755 3:4', '755 3:4', '711 3:4', '640 3:4']);
    const none = await buildImage('FROM scratch\nADD --exclude=a* * /d/\n', {
      context: contextWith({ 'sub/a.tar': await tarOf(entries), 'sub/b': 'b' }),
    });
    expect(none.list('d')).toEqual(['b']);
  });

  it('comes from a wildcard, several at once, the later over the earlier', async () => {
    const one = await tarOf([
      { name: 'same', content: '1' },
      { name: 'one', content: '1' },
    ]);
    const two = await tarOf([
      { name: 'same', content: '2' },
      { name: 'two', content: '2' },
    ]);
    const context = contextWith({ 'a1.tar': one, 'a2.tgz': gzipSync(two), 'a3.txt': 'plain' });
    const { list, text } = await buildImage('FROM scratch\nADD a* /d/\n', { context });
    expect(list('d')).toEqual(['a3.txt', 'one', 'same', 'two']);
    expect(text('d/same')).toBe('2');
  });

  it('in a directory that is added is a file', async () => {
    const context = contextWith({ 'dir/x.tar': await tarOf([{ name: 'f', content: 'x' }]) });
    expect((await buildImage('FROM scratch\nADD dir /d/\n', { context })).list('d')).toEqual(['x.tar']);
  });

  it('makes its destination, slash or not', async () => {
    const { text } = await add([{ name: 'f', content: 'x' }], 'ADD x.tar /a/b\nWORKDIR /w\nADD x.tar .');
    expect([text('a/b/f'), text('w/f')]).toEqual(['x', 'x']);
    expect(await refused([{ name: 'f', content: 'x' }], {}, 'RUN touch /d\nADD x.tar /d')).toContain(
      'cannot extract to non-directory: /d',
    );
  });

  it('replaces what stands in the way, files by directories and the reverse', async () => {
    const entries: Entry[] = [
      { name: 'file', type: 'directory' },
      { name: 'file/in', content: 'x' },
      { name: 'dir', content: 'now a file' },
    ];
    const { list, text } = await add(
      entries,
      'ADD x.tar /d/',
      'FROM busybox\nRUN mkdir -p /d/dir/sub && touch /d/file /d/dir/old',
    );
    expect(list('d')).toEqual(['dir', 'file']);
    expect([text('d/file/in'), text('d/dir')]).toEqual(['x', 'now a file']);
  });

  it('follows links of the image to directories, and none out of the destination', async () => {
    const base = 'FROM busybox\nRUN mkdir -p /d/real /etc/x && ln -s real /d/rel && ln -s /real /d/abs && ln -s ../../etc /d/up';
    const entries: Entry[] = [
      { name: 'rel', type: 'directory' },
      { name: 'rel/1', content: '1' },
      { name: 'abs/2', content: '2' },
      { name: 'up/3', content: '3' },
    ];
    const { list, files } = await add(entries, 'ADD x.tar /d/', base);
    expect(list('d/real')).toEqual(['1', '2']);
    expect(list('d/etc')).toEqual(['3']);
    expect(files.get('d/rel')?.type).toBe('symlink');
    expect(files.has('etc/3')).toBe(false);
  });

  it('out of a stage', async () => {
    const context = contextWith({ 'x.tar': await tarOf([{ name: 'f', content: 'x', uid: 3 }]) });
    const { stat } = await buildImage('FROM scratch AS s\nCOPY x.tar /\nFROM busybox\nADD x.tar /d/\n', { context });
    expect(stat('d/f')).toBe('644 3:0');
  });
});

describe('a hostile archive', () => {
  it.each<[string, Entry[], RegExp]>([
    ['a name that climbs out', [{ name: `../..${outside}`, content: 'x' }], /leads out of the archive/],
    ['a name that climbs out by its middle', [{ name: 'a/../../x', content: 'x' }], /leads out of the archive/],
    ['a hard link out', [{ name: 'x', type: 'link', linkname: '/etc/passwd' }], /is to nothing of this archive/],
    ['a hard link up', [{ name: 'x', type: 'link', linkname: '../../etc/passwd' }], /leads out of the archive/],
    ['a whiteout', [{ name: '.wh.x', content: '' }], /a name that starts with \.wh\. cannot be in a layer/],
    ['an opaque mark', [{ name: 'd/.wh..wh..opq', content: '' }], /a name that starts with \.wh\. cannot be in a layer/],
    ['a whiteout as overlayfs has it', [{ name: 'w', type: 'character-device', devmajor: 0, devminor: 0 }], /device/],
    [
      'a file where a directory is needed',
      [
        { name: 'a', content: '' },
        { name: 'a/b', content: '' },
      ],
      /is in the way: it is no directory/,
    ],
    [
      'links in a circle',
      [
        { name: 'a', type: 'symlink', linkname: 'b' },
        { name: 'b', type: 'symlink', linkname: 'a' },
        { name: 'a/x', content: '' },
      ],
      /too many symlinks/,
    ],
    ['a name that is too long', [{ name: `${'n'.repeat(300)}`, content: '' }], /255/],
  ])('with %s is refused', async (_, entries, message) => {
    const said = await refused(entries);
    expect(said).toMatch(message);
    expect(said).toContain('ADD --unpack=false takes the archive as it is');
  });

  it('with absolute names and links out stays in the destination', async () => {
    const entries: Entry[] = [
      { name: outside, content: 'x' },
      { name: 'link', type: 'symlink', linkname: '/etc' },
      { name: 'link/x', content: 'x' },
      { name: 'far', type: 'symlink', linkname: '../../../../../etc' },
      { name: 'far/y', content: 'y' },
    ];
    const { list, files } = await add(entries);
    expect(files.has(`d${outside}`)).toBe(true);
    expect(list('d/etc')).toEqual(['x', 'y']);
    expect(files.has('etc/x')).toBe(false);
    expect(existsSync(outside)).toBe(false);
  });

  it('with devices and FIFOs makes them in the image alone', async () => {
    const entries: Entry[] = [
      { name: 'disk', type: 'block-device', devmajor: 8, devminor: 0, mode: 0o660 },
      { name: 'null', type: 'character-device', devmajor: 1, devminor: 3 },
      { name: 'pipe', type: 'fifo' },
    ];
    const { files } = await add(entries);
    expect(files.get('d/disk')).toMatchObject({ type: 'block-device', devmajor: 8 });
    expect(files.get('d/pipe')?.type).toBe('fifo');
  });

  it('with one name several times: the last one stays', async () => {
    const entries: Entry[] = [
      { name: 'a', content: '1' },
      { name: './a', content: '2' },
      { name: 'b', type: 'directory' },
      { name: 'b/in', content: '' },
      { name: 'b', content: 'file' },
      { name: 'c', content: 'file' },
      { name: 'c', type: 'directory', mode: 0o700 },
    ];
    const { text, stat, list } = await add(entries);
    expect([text('d/a'), text('d/b'), stat('d/c')]).toEqual(['2', 'file', '700 0:0']);
    expect(list('d')).toEqual(['a', 'b', 'c']);
  });

  it('that ends too early, or goes on behind its end, or is damaged in the middle, is refused', async () => {
    const tar = await tarOf([
      { name: 'f', content: 'x'.repeat(5000) },
      { name: 'g', content: '' },
    ]);
    expect(await refused(tar.subarray(0, 2000))).toContain('ends in the middle of a member');
    const random = randomBytes(200_000);
    const big = gzipSync(await tarOf([{ name: 'f', content: random }]));
    expect(await refused(big.subarray(0, big.length - 4000))).toMatch(/cannot extract x\.tar/);
    const broken = Buffer.from(big);
    broken.fill(0xff, big.length >> 1, (big.length >> 1) + 64);
    expect(await refused(broken)).toMatch(/cannot extract x\.tar/);
    const behind = Buffer.from(tar);
    behind.write('garbage', 512 + 5120);
    expect(await refused(behind)).toMatch(/cannot extract x\.tar/);
  });

  it('with numbers beyond all bounds is refused, or has them cut down to what there can be', async () => {
    for (const pax of [{ size: '99999999999999999999' }, { size: '-1' }, { uid: '4294967295' }, { gid: '-2' }, { mtime: 'x' }])
      expect(
        await refused([{ name: 'first' }, { name: 'f', content: 'x', pax: pax as unknown as Record<string, string> }]),
      ).toContain('cannot extract x.tar');
    const { files } = await add([{ name: 'f', content: 'x', pax: { uid: '4294967294', mtime: '-1.5' } }]);
    expect(files.get('d/f')?.pax).toMatchObject({ uid: '4294967294' });
  });

  it('with a sparse file that is all hole is limited by what it comes to', async () => {
    const pax = { 'GNU.sparse.map': '0,4', 'GNU.sparse.size': String(2 ** 42) };
    expect(await refused([{ name: 'f', content: 'data', pax }])).toContain(
      'it unpacks to more than 1 GiB, and more than 1000 times its size',
    );
    expect(await refused([{ name: 'f', content: 'data', pax }], { env: { TBUILD_MAX_UNPACKED: '100t' } })).toContain('1 TiB');
    const small = { 'GNU.sparse.map': '0,4', 'GNU.sparse.size': '100000' };
    expect((await add([{ name: 'f', content: 'data', pax: small }])).files.get('d/f')?.size).toBe(100_000);
  });

  it('that is small and unpacks to very much is refused, and let through by who means it', async () => {
    // The plain tar is 1.5 GiB of zeros and goes through a pipe.
    const make = `import sys, tarfile
info = tarfile.TarInfo('zeros'); info.size = 3 << 29
out = sys.stdout.buffer
out.write(info.tobuf())
for _ in range(info.size >> 20): out.write(bytes(1 << 20))
out.write(bytes(1024))`;
    const bomb = execFileSync('sh', ['-c', 'python3 -c "$1" | zstd -q -1', 'sh', make], { maxBuffer: 1 << 28 });
    const said = await refused(bomb);
    expect(said).toContain('cannot extract x.tar: it unpacks to more than 1 GiB, and more than 1000 times its size');
    expect(said).toContain('TBUILD_MAX_UNPACKED=200g');
    expect(await refused(bomb, { env: { TBUILD_MAX_UNPACKED: '1m' } })).toContain(
      'it unpacks to more than 1m (TBUILD_MAX_UNPACKED)',
    );
    expect(await refused(bomb, { env: { TBUILD_MAX_UNPACKED: 'much' } })).toContain('TBUILD_MAX_UNPACKED is no size: "much"');
  });
});
