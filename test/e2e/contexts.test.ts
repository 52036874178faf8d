// What a build may be given as its context: a directory, a tar through standard input or as a file, a Dockerfile alone. What ends up in the
// image is what BuildKit has there (buildx: build/opt.go; BuildKit: dockerui/context.go).

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Entry, tarOf } from '../support/archives.ts';
import { makeContext } from '../support/contexts.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

let store: string;
let folder: string;
beforeAll(() => {
  store = freshStore();
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-inputs-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const copyAll = 'FROM busybox\nCOPY . /d\n';

/** What `probe` prints in an image that is built so. */
async function see(probe: string, args: readonly string[], input?: string | Buffer): Promise<string> {
  const image = await tbuildOk(['build', '-q', ...args], { store, ...(input !== undefined && { input }) });
  return (await tbuildOk(['run', '--rm', image.trim(), 'sh', '-c', probe], { store })).trim();
}

async function failure(args: readonly string[], code: number, input?: string | Buffer): Promise<string> {
  const result = await tbuild(['build', '--progress=plain', ...args], { store, input: input ?? '' });
  expect(result.code, result.stderr).toBe(code);
  return result.stderr;
}

const list = 'cd /d; find . -type f | sort | tr "\\n" " "';

describe('a tar', () => {
  const entries: readonly Entry[] = [
    { name: 'Dockerfile', content: copyAll },
    { name: '.dockerignore', content: 'a' },
    { name: 'a', content: 'A', uid: 1000, gid: 2000, mode: 0o640 },
    { name: 'sub/Other', content: 'FROM busybox\nCOPY --chown=7:8 a /d/\n' },
    { name: 'link', type: 'symlink', linkname: 'sub/Other' },
  ];
  let tar: Buffer;
  beforeAll(async () => {
    tar = await tarOf(entries);
  });
  const owners = "stat -c '%a %u:%g' /d/a";

  for (const [name, command] of [
    ['plain', ['cat']],
    ['gzip', ['gzip']],
    ['bzip2', ['bzip2']],
    ['xz', ['xz']],
    ['zstd', ['zstd']],
  ] as const) {
    it(`through standard input, ${name}; ignore files do not count, owners are the tar's`, async () => {
      const input = execFileSync(command[0], { input: tar });
      expect(await see(`${list}; ${owners}`, ['-'], input)).toBe('./.dockerignore ./Dockerfile ./a ./sub/Other 640 1000:2000');
    });
  }

  it('in a file', async () => {
    const file = path.join(folder, 'context.tar.gz');
    execFileSync('sh', ['-c', 'gzip > "$1"', 'sh', file], { input: tar });
    expect(await see(list, [file])).toBe('./.dockerignore ./Dockerfile ./a ./sub/Other');
  });

  it('with -f: a path inside it, links followed', async () => {
    for (const name of ['sub/Other', '/sub/Other', './sub/../link', '../link'])
      expect(await see(owners, ['-f', name, '-'], tar)).toBe('640 7:8');
  });

  it('as a file, with the Dockerfile through standard input', async () => {
    const file = path.join(folder, 'context.tar');
    execFileSync('sh', ['-c', 'cat > "$1"', 'sh', file], { input: tar });
    expect(await see('cat /x', ['-f', '-', file], 'FROM busybox\nCOPY a /x\n')).toBe('A');
  });

  it('with its Dockerfile in lower case', async () => {
    expect(
      await see('cat /x', ['-'], await tarOf([{ name: 'dockerfile', content: 'FROM busybox\nCOPY dockerfile /x' }])),
    ).toContain('COPY dockerfile');
  });

  it('mounted into a RUN', async () => {
    const dockerfile = 'FROM busybox\nRUN --mount=target=/m stat -c "%a %u:%g" /m/a > /x && cat /m/a >> /x\n';
    const input = await tarOf([{ name: 'Dockerfile', content: dockerfile }, ...entries.slice(2)]);
    expect(await see('cat /x', ['-'], input)).toBe('640 1000:2000\nA');
  });

  it('with an archive in it, for ADD', async () => {
    const inner = await tarOf([{ name: 'inner', content: 'inside' }]);
    const input = await tarOf([
      { name: 'Dockerfile', content: 'FROM busybox\nADD inner.tar /d/' },
      { name: 'inner.tar', content: inner },
    ]);
    expect(await see('cat /d/inner', ['-'], input)).toBe('inside');
  });

  it('without a Dockerfile', async () => {
    expect(await failure(['-'], 3, await tarOf([{ name: 'a', content: '' }]))).toContain(
      'error: there is no Dockerfile in the build context from standard input',
    );
    expect(await failure(['-f', 'sub', '-'], 3, tar)).toContain('error: the Dockerfile sub in standard input is a dir');
    expect(await failure(['-f', 'nope', '-'], 3, tar)).toContain('there is no nope in the build context');
  });

  it('that is damaged, or none', async () => {
    const gzip = execFileSync('gzip', { input: tar });
    expect(await failure(['-'], 4, gzip.subarray(0, gzip.length - 20))).toContain(
      'cannot extract the build context from standard input: incomplete deflate stream',
    );
    expect(await failure(['-'], 4, tar.subarray(0, 1300))).toContain('the archive ends in the middle of a member');
    expect(await failure(['-'], 4, execFileSync('gzip', { input: 'FROM busybox' }))).toContain(
      'is compressed, and what is in it is damaged, or no tar',
    );
    const outside = await tarOf([{ name: '../../evil', content: '' }]);
    expect(await failure(['-'], 4, outside)).toMatch(/cannot extract the build context.*evil/);
  });
});

describe('a Dockerfile alone', () => {
  const alone = 'FROM busybox\nCOPY . /d\nCOPY <<E /x\nhere\nE\n';

  it('through standard input: the context is empty', async () => {
    expect(await see(`cat /x; ${list}`, ['-'], alone)).toBe('here');
    expect(await failure(['-'], 4, 'FROM busybox\nCOPY a /\n')).toContain('"a" not found in the build context');
  });

  it('as a file', async () => {
    const context = makeContext({ 'some.Dockerfile': alone, a: '' });
    expect(await see(`cat /x; ${list}`, [path.join(context, 'some.Dockerfile')])).toBe('here');
  });

  it('is no other than -f says', async () => {
    expect(await failure(['-f', 'Dockerfile', '-'], 2, alone)).toContain('standard input is a Dockerfile, and -f names another');
    expect(await failure(['-f', '-', '-'], 2, alone)).toContain('cannot both come from standard input');
  });

  it('is not nothing, and not more than a Dockerfile can be', async () => {
    expect(await failure(['-'], 4)).toContain('nothing came through standard input');
    expect(await failure(['-'], 3, Buffer.alloc(65 << 20, 'x'))).toContain(
      'standard input is no tar, and has more than the 64 MiB',
    );
  });
});

describe('a directory', () => {
  it('with the Dockerfile through standard input', async () => {
    const context = makeContext({ '.dockerignore': 'b', a: 'A', b: 'B' });
    expect(await see(list, ['-f', '-', context], copyAll)).toBe('./.dockerignore ./a');
  });

  it('by a link to it', async () => {
    const link = path.join(folder, 'link');
    symlinkSync(makeContext({ Dockerfile: copyAll, a: '' }), link);
    expect(await see(list, [link])).toBe('./Dockerfile ./a');
  });

  it('with the ignore file beside a Dockerfile elsewhere', async () => {
    const elsewhere = makeContext({ 'X.Dockerfile': copyAll, 'X.Dockerfile.dockerignore': 'a' });
    const context = makeContext({ '.dockerignore': 'b', a: '', b: '' });
    expect(await see(list, ['-f', path.join(elsewhere, 'X.Dockerfile'), context])).toBe('./.dockerignore ./b');
  });
});

describe('what is no context', () => {
  it.each([
    ['/no/such', 'the build context /no/such cannot be read: ENOENT'],
    ['/dev/null', 'the build context /dev/null is neither a directory nor an archive nor a Dockerfile'],
    ['ftp://host/x', 'no build context comes by ftp:// (ftp://host/x)'],
    [`${import.meta.filename}/x`, 'cannot be read: ENOTDIR'],
  ])('%s', async (argument, message) => {
    expect(await failure([argument], 4)).toContain(message);
  });

  it('leaves a file as it is', async () => {
    const file = path.join(makeContext({ Dockerfile: 'FROM busybox\n' }), 'Dockerfile');
    await tbuildOk(['build', '-q', file], { store });
    expect(readFileSync(file, 'utf8')).toBe('FROM busybox\n');
  });
});
