// Packages that language tools and linkers leave among an image's files: which files count, what they say, and what cannot be read.
import { readFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { findPackages } from '../../../src/sbom/find-packages.ts';
import { memoryFiles } from '../../support/image-files.ts';

const inventory = (files: Parameters<typeof memoryFiles>[0]) => findPackages(memoryFiles(files));
const purls = async (files: Parameters<typeof memoryFiles>[0]) => (await inventory(files)).packages.map(({ purl }) => purl);

describe('npm', () => {
  const manifest = (name: string, more: object = {}) => JSON.stringify({ name, version: '1.0.0', ...more });

  test('packages are what stands right below node_modules', async () => {
    expect(
      await purls({
        'app/package.json': manifest('app'),
        'app/node_modules/left-pad/package.json': manifest('left-pad'),
        'app/node_modules/left-pad/test/package.json': manifest('part'),
        'app/node_modules/@scope/x/package.json': manifest('@scope/x'),
        'app/node_modules/@scope/x/node_modules/inner/package.json': manifest('inner'),
        'app/node_modules/.cache/package.json': manifest('cache'),
        'app/node_modules/nameless/package.json': '{"version":"1.0.0"}',
      }),
    ).toEqual(['pkg:npm/%40scope/x@1.0.0', 'pkg:npm/inner@1.0.0', 'pkg:npm/left-pad@1.0.0']);
  });

  test('one in many places is one', async () => {
    const { packages } = await inventory({
      'node_modules/a/package.json': manifest('a'),
      'b/node_modules/a/package.json': manifest('a'),
    });
    expect(packages).toMatchObject([{ foundIn: 'node_modules/a/package.json', alsoFound: 1 }]);
  });

  test.each([
    [{ license: 'MIT' }, 'MIT'],
    [{ license: { type: 'ISC', url: 'x' } }, 'ISC'],
    [{ licenses: [{ type: 'MIT' }, { type: 'Apache-2.0' }] }, 'MIT OR Apache-2.0'],
    [{ license: 1 }, undefined],
  ])('%o has the licence %s', async (more, license) => {
    expect((await inventory({ 'node_modules/a/package.json': manifest('a', more) })).packages[0]?.license).toBe(license);
  });

  test('its author is told without a home page, whatever he writes', async () => {
    const authorOf = async (author: unknown) =>
      (await inventory({ 'node_modules/a/package.json': manifest('a', { author }) })).packages[0]?.supplier;
    expect(await authorOf('A B <a@x.org> (https://x.org)')).toBe('A B <a@x.org>');
    expect(await authorOf({ name: 'A', email: 'a@x.org', url: 'https://x.org' })).toBe('A <a@x.org>');
    expect(await authorOf(['A'])).toBeUndefined();
    expect(await authorOf('('.repeat(500_000))).toHaveLength(300);
  });

  test('what is no package is said', async () => {
    const deep = '['.repeat(100_000);
    const { notes, packages } = await inventory({
      'node_modules/a/package.json': deep,
      'node_modules/b/package.json': 'null',
      'node_modules/c/package.json': ' '.repeat(2 << 20),
    });
    expect(packages).toEqual([]);
    expect(notes).toEqual([
      'node_modules/a/package.json is not the JSON of a package',
      'node_modules/b/package.json is not the JSON of a package',
      'node_modules/c/package.json is not read: it has more than 1024 KiB',
    ]);
  });
});

describe('python', () => {
  const site = 'usr/lib/python3/dist-packages';

  test('dist-info and both kinds of egg-info', async () => {
    expect(
      await purls({
        [`${site}/Foo_Bar-1.0.dist-info/METADATA`]: 'Metadata-Version: 2.1\nName: Foo_Bar\nVersion: 1.0\n\nName: not this\n',
        [`${site}/egg-2.0.egg-info/PKG-INFO`]: 'Name: egg\nVersion: 2.0\n',
        [`${site}/old-3.0.egg-info`]: 'Name: old\nVersion: 3.0\n',
      }),
    ).toEqual(['pkg:pypi/egg@2.0', 'pkg:pypi/foo-bar@1.0', 'pkg:pypi/old@3.0']);
  });

  test.each([
    ['License-Expression: MIT OR ISC\nLicense: other', 'MIT OR ISC'],
    ['License: BSD-3-Clause', 'BSD-3-Clause'],
    ['License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\nClassifier: Topic :: X', 'MIT License'],
  ])('%s', async (lines, license) => {
    const { packages } = await inventory({
      'a.dist-info/METADATA': `Name: a\nVersion: 1\n${lines}\nAuthor: A\nAuthor-email: a@x.org\n`,
    });
    expect(packages[0]).toMatchObject({ license, supplier: 'A <a@x.org>' });
  });

  test('of a long description nothing is read', async () => {
    const files = memoryFiles({ 'a.dist-info/METADATA': `Name: a\nVersion: 1\n\n${'text '.repeat(1 << 20)}` });
    expect((await findPackages(files)).packages).toHaveLength(1);
    expect(files.readBytes).toBeLessThanOrEqual(64 << 10);
  });
});

interface ElfParts {
  readonly sections: Readonly<Record<string, Uint8Array>>;
  readonly is64?: boolean;
  readonly isLittleEndian?: boolean;
  /** Where the file is said to be loaded, writable. */
  readonly loadedAt?: number;
}

/** An ELF file with these sections, and one loaded segment that is all of it. */
function elfOf({ sections, is64 = true, isLittleEndian = true, loadedAt = 0x10000 }: ElfParts): Buffer {
  const names = ['', ...Object.keys(sections), '.shstrtab'];
  const strings = Buffer.from(names.map((name) => `${name}\0`).join(''));
  const bodies = [Buffer.alloc(0), ...Object.values(sections).map(Buffer.from), strings];
  const [headBytes, programBytes, sectionBytes] = is64 ? [64, 56, 64] : [52, 32, 40];
  const offsets: number[] = [];
  let end = 256;
  for (const body of bodies) {
    offsets.push(end);
    end += Math.ceil(body.length / 16) * 16;
  }
  const file = Buffer.alloc(end + sectionBytes * bodies.length);
  const half = (value: number, at: number) => (isLittleEndian ? file.writeUInt16LE(value, at) : file.writeUInt16BE(value, at));
  const word = (value: number, at: number) => (isLittleEndian ? file.writeUInt32LE(value, at) : file.writeUInt32BE(value, at));
  const address = (value: number, at: number) => {
    if (!is64) return word(value, at);
    return isLittleEndian ? file.writeBigUInt64LE(BigInt(value), at) : file.writeBigUInt64BE(BigInt(value), at);
  };
  file.set([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, isLittleEndian ? 1 : 2]);
  address(headBytes, is64 ? 32 : 28);
  address(end, is64 ? 40 : 32);
  for (const [position, value] of [programBytes, 1, sectionBytes, bodies.length, bodies.length - 1].entries())
    half(value, (is64 ? 54 : 42) + 2 * position);
  word(1, headBytes);
  word(6, headBytes + (is64 ? 4 : 24));
  address(loadedAt, headBytes + (is64 ? 16 : 8));
  address(file.length, headBytes + (is64 ? 32 : 16));
  for (const [position, body] of bodies.entries()) {
    const at = end + sectionBytes * position;
    word(strings.indexOf(`${names[position]}\0`), at);
    word(position === 0 ? 0 : 1, at + 4);
    address(offsets[position]!, at + (is64 ? 24 : 16));
    address(body.length, at + (is64 ? 32 : 20));
    body.copy(file, offsets[position]!);
  }
  return file;
}

const modinfo = [
  'path\texample.org/Tool/cmd',
  'mod\texample.org/Tool\t(devel)\t',
  'dep\tgithub.com/Some/lib/v2\tv2.3.4\th1:abc=',
  'dep\texample.org/replaced\tv1.0.0',
  '=>\texample.org/other\tv1.1.0\th1:def=',
  'build\t-compiler=gc',
  '',
].join('\n');
const sentinels = Buffer.alloc(16, 0x3f);
const wrapped = Buffer.concat([sentinels, Buffer.from(modinfo), sentinels]);
const expected = [
  'pkg:golang/example.org/other@v1.1.0',
  'pkg:golang/example.org/tool',
  'pkg:golang/github.com/some/lib/v2@v2.3.4',
  'pkg:golang/stdlib@1.21.3',
];

/** As the linker writes it since Go 1.18. */
function inlineBuildInfo(version = 'go1.21.3 X:some', modules: Uint8Array = wrapped): Buffer {
  const head = Buffer.alloc(32);
  head.write('\xff Go buildinf:', 'latin1');
  head[14] = 8;
  head[15] = 2;
  const text = (bytes: Uint8Array) => {
    const length: number[] = [];
    for (let rest = bytes.length; rest > 0 || length.length === 0; rest = Math.floor(rest / 128))
      length.push((rest & 0x7f) | (rest >= 128 ? 0x80 : 0));
    return Buffer.concat([Buffer.from(length), bytes]);
  };
  return Buffer.concat([head, text(Buffer.from(version)), text(modules)]);
}

describe('go', () => {
  test('texts behind the header', async () => {
    const content = elfOf({ sections: { '.go.buildinfo': inlineBuildInfo() } });
    expect(await purls({ 'usr/bin/tool': { content, mode: 0o755 } })).toEqual(expected);
    expect(await purls({ 'usr/bin/tool': { content, mode: 0o644 } })).toEqual([]);
  });

  test.each([
    [true, true],
    [true, false],
    [false, true],
    [false, false],
  ])('strings at addresses, before 1.18 (64 bits: %s, little-endian: %s)', async (is64, isLittleEndian) => {
    const loadedAt = 0x400000;
    const size = is64 ? 8 : 4;
    const version = Buffer.from('go1.21.3');
    // The section begins at 256; strings and texts stand behind the header.
    const base = loadedAt + 256;
    const bytes = Buffer.alloc(32 + 4 * size);
    bytes.write('\xff Go buildinf:', 'latin1');
    bytes[14] = size;
    bytes[15] = isLittleEndian ? 0 : 1;
    const pointer = (value: number, at: number) => {
      if (size === 4) return isLittleEndian ? bytes.writeUInt32LE(value, at) : bytes.writeUInt32BE(value, at);
      return isLittleEndian ? bytes.writeBigUInt64LE(BigInt(value), at) : bytes.writeBigUInt64BE(BigInt(value), at);
    };
    pointer(base + 32, 16);
    pointer(base + 32 + 2 * size, 16 + size);
    pointer(base + bytes.length, 32);
    pointer(version.length, 32 + size);
    pointer(base + bytes.length + version.length, 32 + 2 * size);
    pointer(wrapped.length, 32 + 3 * size);
    const section = Buffer.concat([bytes, version, wrapped]);
    const content = elfOf({ sections: { '': Buffer.alloc(0), '.go.buildinfo': section }, is64, isLittleEndian, loadedAt });
    expect(await purls({ tool: { content, mode: 0o755 } })).toEqual(expected);
  });

  test('a real binary is read by its headers alone', async () => {
    const content = readFileSync('/usr/bin/skopeo');
    const files = memoryFiles({ 'usr/bin/skopeo': { content, mode: 0o755 }, 'usr/bin/copy': { content, mode: 0o755 } });
    const { packages, notes } = await findPackages(files);
    expect(notes).toEqual([]);
    // Debian builds without modules: what is left is the program itself.
    expect(packages.map(({ name }) => name)).toEqual(['github.com/containers/skopeo/cmd/skopeo', 'stdlib']);
    expect(packages.map(({ version }) => version)).toEqual(['', expect.stringMatching(/^1\.\d+/)]);
    expect(files.readBytes).toBeLessThan(content.length / 10);
  });

  test.each([
    ['a length beyond the file', inlineBuildInfo().fill(0xff, 32, 37)],
    ['no end', inlineBuildInfo().subarray(0, 40)],
    ['no sentinels', inlineBuildInfo('go1.2', Buffer.from('mod\tx\ty'))],
    ['nothing behind the magic', inlineBuildInfo().subarray(0, 20)],
  ])('%s is no module', async (_, section) => {
    const found = await purls({ tool: { content: elfOf({ sections: { '.go.buildinfo': section } }), mode: 0o755 } });
    expect(found.filter((purl) => !purl.includes('stdlib'))).toEqual([]);
  });
});

describe('cargo auditable', () => {
  const packages = [
    { name: 'app', version: '0.1.0', source: 'local', root: true, dependencies: [1] },
    { name: 'serde', version: '1.0.200', source: 'crates.io' },
    { name: 'cc', version: '1.0.0', source: 'crates.io', kind: 'build' },
  ];
  const tool = (section: Uint8Array) => ({ tool: { content: elfOf({ sections: { '.dep-v0': section } }), mode: 0o755 } });

  test('crates that are in the binary', async () => {
    expect(await purls(tool(deflateSync(JSON.stringify({ packages }))))).toEqual([
      'pkg:cargo/app@0.1.0',
      'pkg:cargo/serde@1.0.200',
    ]);
  });

  test.each([
    ['no JSON', deflateSync('{')],
    ['not compressed', Buffer.from('{}')],
    ['a bomb', deflateSync(Buffer.alloc(64 << 20, 0x20))],
    ['no list', deflateSync('{"packages":{"length":5}}')],
    ['null', deflateSync('null')],
  ])('%s is said', async (_, section) => {
    expect((await inventory(tool(section))).notes).toEqual(['what tool says of its crates cannot be read']);
  });
});

test('who does not want to wait is heard', async () => {
  const many = Object.fromEntries(Array.from({ length: 1000 }, (_, position) => [`file${position}`, '']));
  const stop = new AbortController();
  const found = findPackages(memoryFiles(many), stop.signal);
  stop.abort(new Error('enough'));
  await expect(found).rejects.toThrow('enough');
});

test('whatever is bent in a binary, reading it ends', async () => {
  const whole = elfOf({ sections: { '.go.buildinfo': inlineBuildInfo(), '.dep-v0': deflateSync('{"packages":[]}') } });
  let state = 7;
  const random = (below: number) => {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return state % below;
  };
  for (let round = 0; round < 2000; round++) {
    const bent = Buffer.from(whole);
    for (let count = 0; count < 6; count++) bent[random(round % 2 ? bent.length : 200)] = random(3) === 0 ? 0xff : random(256);
    bent.set([0x7f, 0x45, 0x4c, 0x46]);
    await inventory({ tool: { content: bent, mode: 0o755 } });
  }
});
