// The databases of distributions: what they say, wherever links and layers have put them, and what of them cannot be read.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, describe, expect, test } from 'vitest';
import { findPackages } from '../../../src/sbom/find-packages.ts';
import { memoryFiles, storedFiles } from '../../support/image-files.ts';
import { openImageStore } from '../../support/image-store.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'tbuild-sbom-'));
afterAll(() => rmSync(folder, { recursive: true }));

const debian = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n';
const purls = async (files: Parameters<typeof memoryFiles>[0]) =>
  (await findPackages(memoryFiles(files))).packages.map(({ purl }) => purl);

const stanza = (name: string, status = 'install ok installed', version = '1.0-1') =>
  `Package: ${name}\nStatus: ${status}\nMaintainer: Some One <one@example.org>\nArchitecture: amd64\nVersion: ${version}\nDescription: a thing\n of two lines\n`;

describe('dpkg', () => {
  test('what is installed, with what the database says of it', async () => {
    const status = [stanza('bash', undefined, '5.2.15-2+b2'), stanza('half', 'install ok half-configured')].join('\n');
    const { packages, distribution, notes } = await findPackages(
      memoryFiles({ 'etc/os-release': debian, 'var/lib/dpkg/status': status }),
    );
    expect(notes).toEqual([]);
    expect(distribution).toEqual({ id: 'debian', version: '12', name: 'Debian GNU/Linux 12 (bookworm)' });
    expect(packages[0]).toEqual({
      purl: 'pkg:deb/debian/bash@5.2.15-2%2Bb2?arch=amd64&distro=debian-12',
      name: 'bash',
      version: '5.2.15-2+b2',
      supplier: 'Some One <one@example.org>',
      homepage: undefined,
      summary: 'a thing',
      foundIn: 'var/lib/dpkg/status',
      alsoFound: 0,
    });
    expect(packages.map(({ name }) => name)).toEqual(['bash', 'half']);
  });

  test('what was removed is not', async () => {
    const status = [stanza('gone', 'deinstall ok config-files'), stanza('never', 'purge ok not-installed')].join('\n');
    expect(await purls({ 'var/lib/dpkg/status': status })).toEqual([]);
  });

  test('an epoch is part of the version', async () => {
    expect(await purls({ 'var/lib/dpkg/status': stanza('tar', undefined, '1:2.0~rc1') })).toEqual([
      'pkg:deb/debian/tar@1:2.0~rc1?arch=amd64',
    ]);
  });

  test('status.d of images without dpkg', async () => {
    const base = 'Package: base-files\nVersion: 12.4\nArchitecture: amd64\n';
    expect(
      await purls({
        'etc/os-release': debian,
        'var/lib/dpkg/status.d/base': base,
        'var/lib/dpkg/status.d/base.md5sums': 'Package: not this\n',
      }),
    ).toEqual(['pkg:deb/debian/base-files@12.4?arch=amd64&distro=debian-12']);
  });

  test('the newest layer counts, behind links too', async () => {
    const store = await openImageStore();
    const dir = (name: string) => ({ path: name, type: 'dir', mode: 0o755 });
    const file = (name: string, text: string) => ({ path: name, type: 'file', text, size: Buffer.byteLength(text) });
    const files = await storedFiles(store, [
      [
        dir('data'),
        dir('data/lib'),
        dir('data/lib/dpkg'),
        file('data/lib/dpkg/status', stanza('old')),
        { path: 'var', type: 'symlink', link: '/data' },
      ],
      [dir('data'), dir('data/lib'), dir('data/lib/dpkg'), file('data/lib/dpkg/status', stanza('new'))],
      [dir('opt'), { path: 'etc', type: 'symlink', link: 'usr/etc' }],
    ]);
    expect((await findPackages(files)).packages.map(({ name, foundIn }) => [name, foundIn])).toEqual([
      ['new', 'data/lib/dpkg/status'],
    ]);
  });

  test.each([
    ['a link to itself', { type: 'symlink', link: 'status' }],
    ['a link out of the root', { type: 'symlink', link: '../../../../../../etc/passwd' }],
    ['a directory', { type: 'dir', mode: 0o755 }],
    ['a FIFO', { type: 'fifo' }],
    ['an empty file', { type: 'file', text: '', size: 0 }],
  ])('%s is no database', async (_, entry) => {
    const store = await openImageStore();
    const above = ['var', 'var/lib', 'var/lib/dpkg'].map((name) => ({ path: name, type: 'dir', mode: 0o755 }));
    const files = await storedFiles(store, [[...above, { path: 'var/lib/dpkg/status', ...entry }]]);
    expect(await findPackages(files)).toEqual({ distribution: undefined, packages: [], notes: [] });
  });

  test('a whiteout hides it', async () => {
    const store = await openImageStore();
    const dir = (name: string) => ({ path: name, type: 'dir', mode: 0o755 });
    const below = ['var', 'var/lib', 'var/lib/dpkg'].map(dir);
    const text = stanza('old');
    const files = await storedFiles(store, [
      [...below, { path: 'var/lib/dpkg/status', type: 'file', text, size: text.length }],
      [...below.slice(0, 2), { path: 'var/lib/dpkg', type: 'whiteout', mode: 0 }],
    ]);
    expect((await findPackages(files)).packages).toEqual([]);
  });
});

describe('apk', () => {
  const installed = [
    'C:Q1abc=\nP:musl\nV:1.2.5-r0\nA:x86_64\nS:1\nT:the musl c library (libc) implementation\nU:https://musl.libc.org/\nL:MIT\no:musl\nm:Timo <timo@example.org>\np:so:libc.musl-x86_64.so.1=1\nF:lib\nR:ld-musl-x86_64.so.1\na:0:0:755\n',
    'P:busybox\nV:1.36.1-r29\nA:x86_64\nL:GPL-2.0-only\n',
  ].join('\n');

  test.each(['lib/apk/db/installed', 'usr/lib/apk/db/installed'])('%s', async (place) => {
    const { packages } = await findPackages(
      memoryFiles({ 'etc/os-release': 'ID=alpine\nVERSION_ID=3.20.1\n', [place]: installed }),
    );
    expect(packages.map(({ purl, license }) => [purl, license])).toEqual([
      ['pkg:apk/alpine/busybox@1.36.1-r29?arch=x86_64&distro=alpine-3.20.1', 'GPL-2.0-only'],
      ['pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20.1', 'MIT'],
    ]);
    expect(packages[1]).toMatchObject({ supplier: 'Timo <timo@example.org>', homepage: 'https://musl.libc.org/' });
  });
});

/** A header as rpm stores it: docs/manual/hregions.md. */
function rpmHeader(values: Readonly<Record<number, string | number>>): Buffer {
  const entries: Buffer[] = [];
  const data: Buffer[] = [];
  let length = 0;
  for (const [tag, value] of Object.entries(values)) {
    const bytes = typeof value === 'string' ? Buffer.from(`${value}\0`) : Buffer.alloc(4);
    if (typeof value === 'number') bytes.writeUInt32BE(value);
    const entry = Buffer.alloc(16);
    for (const [position, field] of [Number(tag), typeof value === 'string' ? 6 : 4, length, 1].entries()) {
      entry.writeUInt32BE(field, 4 * position);
    }
    entries.push(entry);
    data.push(bytes);
    length += bytes.length;
  }
  const head = Buffer.alloc(8);
  head.writeUInt32BE(entries.length, 0);
  head.writeUInt32BE(length, 4);
  return Buffer.concat([head, ...entries, ...data]);
}

function rpmDatabase(headers: readonly Uint8Array[]): Buffer {
  const file = path.join(folder, `rpmdb-${Math.random()}.sqlite`);
  const database = new DatabaseSync(file);
  database.exec(
    'PRAGMA synchronous = OFF; BEGIN; CREATE TABLE Basenames (key TEXT, hnum INTEGER); CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)',
  );
  const insert = database.prepare('INSERT INTO Packages (blob) VALUES (?)');
  for (const header of headers) insert.run(header);
  database.exec('COMMIT');
  database.close();
  return readFileSync(file);
}

describe('rpm', () => {
  const bash = {
    1000: 'bash',
    1001: '5.2.15',
    1002: '3.fc39',
    1004: 'The shell',
    1011: 'Fedora Project',
    1014: 'GPLv3+',
    1022: 'x86_64',
  };
  const fedora = { 'etc/os-release': 'ID=fedora\nVERSION_ID=39\n' };

  test('headers of any length, over many pages', async () => {
    const many = Array.from({ length: 400 }, (_, position) =>
      rpmHeader({ ...bash, 1000: `p${position}`, 1004: 'x'.repeat(position * 40) }),
    );
    const { packages, notes } = await findPackages(
      memoryFiles({ ...fedora, 'usr/lib/sysimage/rpm/rpmdb.sqlite': rpmDatabase(many) }),
    );
    expect(notes).toEqual([]);
    expect(packages).toHaveLength(400);
  });

  test('what a header says', async () => {
    const key = rpmHeader({ 1000: 'gpg-pubkey', 1001: '1', 1002: '2' });
    const { packages } = await findPackages(
      memoryFiles({ ...fedora, 'var/lib/rpm/rpmdb.sqlite': rpmDatabase([rpmHeader({ ...bash, 1003: 2 }), key]) }),
    );
    expect(packages).toEqual([
      expect.objectContaining({
        purl: 'pkg:rpm/fedora/bash@5.2.15-3.fc39?arch=x86_64&distro=fedora-39&epoch=2',
        version: '2:5.2.15-3.fc39',
        license: 'GPLv3+',
        supplier: 'Fedora Project',
        summary: 'The shell',
      }),
    ]);
  });

  test('other formats, a log and damage are said', async () => {
    const whole = rpmDatabase(Array.from({ length: 200 }, (_, position) => rpmHeader({ ...bash, 1000: `p${position}` })));
    const { notes, packages } = await findPackages(
      memoryFiles({
        'var/lib/rpm/Packages': 'x',
        'usr/lib/sysimage/rpm/Packages.db': 'x',
        'var/lib/rpm/rpmdb.sqlite': whole.subarray(0, whole.length / 2),
        'var/lib/rpm/rpmdb.sqlite-wal': 'x',
      }),
    );
    expect(packages.length).toBeLessThan(200);
    expect(notes).toEqual([
      "usr/lib/sysimage/rpm/Packages.db is not read: rpm's format ndb is not supported",
      expect.stringMatching(/^var\/lib\/rpm\/rpmdb\.sqlite is damaged, packages may be missing: it has no page \d+$/),
      'var/lib/rpm/rpmdb.sqlite-wal is not read: what was installed last may be missing',
      "var/lib/rpm/Packages is not read: rpm's format Berkeley DB is not supported",
    ]);
  });

  test('whatever a byte is changed to, it ends', async () => {
    const whole = rpmDatabase(Array.from({ length: 30 }, (_, position) => rpmHeader({ ...bash, 1000: `p${position}` })));
    let state = 1;
    const random = (below: number) => {
      state = (state * 1103515245 + 12345) % 2 ** 31;
      return state % below;
    };
    for (let round = 0; round < 400; round++) {
      const bent = Buffer.from(whole);
      for (let count = 0; count < 4; count++) bent[round % 2 ? random(400) : random(bent.length)] = random(256);
      await findPackages(memoryFiles({ 'var/lib/rpm/rpmdb.sqlite': bent }));
    }
  });

  test('what rpm itself wrote is read', async () => {
    const spec = {
      Name: 'hello',
      Epoch: 3,
      Version: '1.2',
      Release: 4,
      Summary: 'says hello',
      License: 'MIT and GPLv2+',
      Vendor: 'Example Project',
      URL: 'https://example.org/hello',
      BuildArch: 'noarch',
    };
    const lines = Object.entries(spec).map(([name, value]) => `${name}: ${value}`);
    writeFileSync(path.join(folder, 'hello.spec'), [...lines, '%description', 'It does.', '%files', ''].join('\n'));
    const run = (command: string, ...args: string[]) => execFileSync(command, args, { cwd: folder, stdio: 'pipe' });
    run('rpmbuild', '-bb', '--quiet', '--define', `_topdir ${folder}/top`, 'hello.spec');
    const settings = ['_db_backend sqlite', '_dbpath /var/lib/rpm'].flatMap((value) => ['--define', value]);
    const made = path.join(folder, 'top/RPMS/noarch/hello-1.2-4.noarch.rpm');
    run('rpm', '--root', path.join(folder, 'root'), ...settings, '-i', '--nodeps', '--ignoreos', made);
    const database = path.join(folder, 'root/var/lib/rpm/rpmdb.sqlite');
    const { notes, packages } = await findPackages(memoryFiles({ 'var/lib/rpm/rpmdb.sqlite': readFileSync(database) }));
    expect(notes).toEqual([]);
    expect(packages).toMatchObject([
      {
        purl: 'pkg:rpm/hello@1.2-4?arch=noarch&epoch=3',
        version: '3:1.2-4',
        license: 'MIT and GPLv2+',
        supplier: 'Example Project',
        homepage: 'https://example.org/hello',
      },
    ]);
  });
});
