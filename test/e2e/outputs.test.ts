// `-o type=local|tar`: what was built as files, compared with what umoci and GNU tar make of the same image, and all that must not happen to files
// that are there already.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { addImage, layout, named, setIndex, tarOf, writeFiles as writeLayout } from '../support/archives.ts';
import { makeContext } from '../support/contexts.ts';
import { isRoot } from '../support/own-files.ts';
import { freshStore } from '../support/stores.ts';
import { repository, tbuild, tbuildOk } from '../support/tbuild.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-outputs-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const at = (...names: string[]) => path.join(folder, ...names);
const sh = (script: string, ...args: string[]) => execFileSync('sh', ['-ec', script, 'sh', ...args], { encoding: 'utf8' });

/** What `find` says of everything below a directory; hard links by their count. */
const listing = (directory: string, format: string) =>
  sh(`cd "$1" && find . -mindepth 1 -printf '${format}\\n' | LC_ALL=C sort`, directory);

const rich = `FROM busybox
RUN mkdir -p /a/b && echo hi > /a/b/f && chown -R 1000:1001 /a/b && chmod 4751 /a/b/f && touch -d @1234567890 /a/b /a/b/f && ln /a/b/f /a/hard
RUN ln -s ../etc /a/link && mkfifo /a/pipe && mknod /a/null c 1 3 && mkdir -m 1777 /open && rm /bin/wget && mkdir /gone && touch /gone/x
RUN rm -r /gone && rm /a/link && mkdir /a/link && echo in > /a/link/passwd && dd if=/dev/urandom of=/large bs=1M count=3
`;

describe.skipIf(!isRoot)('beside what others make of the same image', () => {
  let store: string;
  let out: string;
  beforeAll(async () => {
    store = freshStore();
    out = mkdtempSync(path.join(tmpdir(), 'tbuild-reference-'));
    const to = (name: string) => path.join(out, name);
    const outputs = [
      '-o',
      to('local'),
      '-o',
      `type=tar,dest=${to('tar')}`,
      '-o',
      `type=oci,tar=false,dest=${to('layout')},name=rich`,
    ];
    // Its mknod is refused in a user namespace.
    await tbuildOk(['-t', 'rich', '--userns=host', ...outputs, makeContext({ Dockerfile: rich })], { store });
    sh('umoci unpack --image "$1/layout:latest" "$1/bundle"', out);
    return () => rmSync(out, { recursive: true, force: true });
  });

  test('a directory has the same files, modes, times and links, owned by whoever built', () => {
    const local = path.join(out, 'local');
    const rootfs = path.join(out, 'bundle/rootfs');
    const format = '%P %y %m %Ts %l %n';
    expect(listing(local, format)).toBe(listing(rootfs, format));
    sh('diff -r --no-dereference --exclude=null --exclude=pipe "$1" "$2"', local, rootfs);
    expect(
      listing(local, '%U:%G')
        .split('\n')
        .filter(Boolean)
        .every((owner) => owner === `${process.getuid?.()}:${process.getgid?.()}`),
    ).toBe(true);
  });

  test('a tar lists as GNU tar lists that tree, owners too', () => {
    const list = (tar: string) => sh(`${tar} | tar --numeric-owner --full-time -tvf - | LC_ALL=C sort`, out);
    const ours = list('cat "$1/tar"');
    const theirs = list('tar -C "$1/bundle/rootfs" --sort=name --numeric-owner -cf - . ').replaceAll(' ./', ' ');
    const lines = (text: string) => text.split('\n').filter((line) => line !== '' && !line.endsWith(' '));
    expect(lines(ours)).toEqual(lines(theirs));
    expect(ours).toMatch(/^hrwsr-x--x 1000\/1001 .* a\/hard link to a\/b\/f$/m);
  });

  test('standard output has the same bytes as the file, twice', async () => {
    for (const file of ['one', 'two']) {
      sh(
        'TBUILD_ROOT="$1" "$2" build --userns=host -o - - > "$3" 2>/dev/null < "$4/Dockerfile"',
        store,
        path.join(repository, 'bin/tbuild'),
        at(file),
        makeContext({ Dockerfile: rich }),
      );
      expect(readFileSync(at(file)).equals(readFileSync(path.join(out, 'tar')))).toBe(true);
    }
  });
});

test('SOURCE_DATE_EPOCH is the time of all that is written', async () => {
  const outputs = ['-o', at('out'), '-o', `type=tar,dest=${at('tar')}`];
  await tbuildOk([...outputs, small()], { env: { SOURCE_DATE_EPOCH: '1000000000' } });
  expect(new Set(listing(at('out'), '%Ts').trim().split('\n'))).toEqual(new Set(['1000000000']));
  expect(sh('TZ=UTC tar --full-time -tvf "$1" | grep -cv "2001-09-09 01:46:40" || :', at('tar')).trim()).toBe('0');
});

test('each platform has a directory of its own, unless they are to stand together', async () => {
  const context = makeContext({
    Dockerfile: 'FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /$TARGETARCH\nCOPY arm64 /both\n',
    amd64: 'a',
    arm64: 'b',
  });
  const platforms = ['--platform', 'linux/amd64,linux/arm64'];
  await tbuildOk([...platforms, '-o', at('split'), '-o', `type=tar,dest=${at('tar')}`, context]);
  const expected = ['linux_amd64/amd64', 'linux_amd64/both', 'linux_arm64/arm64', 'linux_arm64/both'];
  expect(
    listing(at('split'), '%P')
      .split('\n')
      .filter((name) => name.includes('/')),
  ).toEqual(expected);
  expect(
    sh('tar tf "$1"', at('tar'))
      .split('\n')
      .filter((name) => /[^/]$/.test(name)),
  ).toEqual(expected);
  const together = await tbuild([...platforms, '-o', `type=local,platform-split=false,dest=${at('one')}`, context]);
  expect(together.code).toBe(6);
  expect(together.stderr).toContain('cannot overwrite both from linux/amd64 with linux/arm64 when split option is disabled');
  expect(existsSync(at('one'))).toBe(false);
  await tbuildOk(['--platform', 'linux/arm64', '-o', `type=local,platform-split=true,dest=${at('alone')}`, context]);
  expect(readdirSync(at('alone'))).toEqual(['linux_arm64']);
});

test('a reader that takes its time gets all of it', async () => {
  const store = freshStore();
  const bytes = (output: string) =>
    Number(
      sh(
        '{ TBUILD_ROOT="$1" "$2" build -o "$3" - 2>/dev/null || echo failed; } < "$4/Dockerfile" | { sleep 1; wc -c; }',
        store,
        path.join(repository, 'bin/tbuild'),
        output,
        makeContext({ Dockerfile: 'FROM busybox\n' }),
      ),
    );
  expect(bytes('-')).toBeGreaterThan(1_900_000);
  expect(bytes('type=oci')).toBeGreaterThan(900_000);
});

const small = () => makeContext({ Dockerfile: 'FROM scratch\nCOPY files /\n', 'files/new': 'new', 'files/sub/deep': 'new' });
const leftovers = (directory: string) => readdirSync(directory).filter((name) => name.startsWith('.tbuild-'));

describe('a directory that is there', () => {
  test('keeps what the result does not have, and its links lead nowhere', async () => {
    mkdirSync(at('out/sub'), { recursive: true });
    mkdirSync(at('outside'));
    writeFileSync(at('out/own'), 'own');
    writeFileSync(at('outside/deep'), 'untouched');
    symlinkSync(at('outside/deep'), at('out/new'));
    rmSync(at('out/sub'), { recursive: true });
    symlinkSync(at('outside'), at('out/sub'));
    await tbuildOk(['-o', at('out'), small()]);
    expect(readdirSync(at('out')).sort()).toEqual(['new', 'own', 'sub']);
    expect(readFileSync(at('out/sub/deep'), 'utf8')).toBe('new');
    expect(lstatSync(at('out/new')).isFile() && lstatSync(at('out/sub')).isDirectory()).toBe(true);
    expect(readFileSync(at('outside/deep'), 'utf8')).toBe('untouched');
  });

  test('mode=delete removes the rest, below the working directory or when it is allowed', async () => {
    mkdirSync(at('work/out/old'), { recursive: true });
    const args = ['-o', `type=local,mode=delete,dest=${at('work/out')}`, small()];
    const refused = await tbuild(args, { cwd: at('work/out') });
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('--allow buildx.local.delete');
    expect(existsSync(at('work/out/old'))).toBe(true);
    await tbuildOk(args, { cwd: at('work') });
    expect(readdirSync(at('work/out')).sort()).toEqual(['new', 'sub']);
  });

  test('is as it was when the disk is full, and so is a tar', async () => {
    mkdirSync(at('disk'));
    sh('mount -t tmpfs -o size=256k tmpfs "$1"', at('disk'));
    try {
      mkdirSync(at('disk/out'));
      writeFileSync(at('disk/out/large'), 'old');
      writeFileSync(at('disk/tar'), 'old');
      const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY large /\n', large: 'x'.repeat(1 << 20) });
      for (const output of [at('disk/out'), `type=tar,dest=${at('disk/tar')}`, at('disk/other')]) {
        const { code, stderr } = await tbuild(['-o', output, context]);
        expect(code, stderr).toBe(6);
        expect(stderr).toMatch(/error: cannot write .*: no space left on/);
      }
      expect(readFileSync(at('disk/out/large'), 'utf8') + readFileSync(at('disk/tar'), 'utf8')).toBe('oldold');
      expect([...readdirSync(at('disk')).sort(), ...readdirSync(at('disk/out'))]).toEqual(['out', 'tar', 'large']);
    } finally {
      sh('umount "$1"', at('disk'));
    }
  });

  test('and one that cannot be written are clear errors', async () => {
    writeFileSync(at('file'), '');
    const said = async (output: string) => {
      const { code, stderr } = await tbuild(['-o', output, small()]);
      return `${code} ${stderr
        .split('\n')
        .find((line) => line.startsWith('error:'))
        ?.replaceAll(folder, 'X')}`;
    };
    expect(await said(at('file'))).toBe('2 error: destination directory X/file is a file');
    expect(await said(at('file/below'))).toMatch(/^6 error: cannot write X\/file\/below: ENOTDIR/);
    expect(await said('/proc/tbuild/out')).toMatch(/^6 error: cannot write \/proc\/tbuild\/out: ENOENT/);
    expect(await said('type=tar,dest=/proc/tar')).toMatch(/^6 error: cannot write \/proc\/tar: ENOENT/);
    expect(await said(`type=tar,dest=${folder}`)).toMatch(/^6 error: cannot write X: it is a directory/);
  });
});

test('hostile layers do not get out of the directory', async () => {
  const store = freshStore();
  const files = await layout();
  const tar = (...entries: Parameters<typeof tarOf>[0]) => tarOf(entries);
  const below = await tar(
    { name: 'a', type: 'symlink', linkname: '/etc' },
    { name: 'b', type: 'symlink', linkname: '../../outside' },
  );
  const above = await tar(
    { name: 'a/passwd', content: 'evil' },
    { name: 'b', type: 'directory' },
    { name: 'b/x', content: 'evil' },
  );
  writeLayout(at('layout'), setIndex(files, [named(addImage(files, [below, above]), 'docker.io/library/hostile:latest')]));
  mkdirSync(at('outside'));
  const before = readFileSync('/etc/passwd', 'utf8');
  await tbuildOk(['load', '--oci-layout', at('layout')], { store });
  await tbuildOk(['-o', at('deep/out'), makeContext({ Dockerfile: 'FROM hostile\nLABEL a=b\n' })], { store });
  expect(readFileSync('/etc/passwd', 'utf8')).toBe(before);
  expect(readdirSync(at('outside'))).toEqual([]);
  expect(readFileSync(at('deep/out/b/x'), 'utf8')).toBe('evil');
});

test('an interrupted export leaves nothing under its name', { timeout: 400_000 }, async () => {
  const store = freshStore();
  const context = makeContext({ Dockerfile: 'FROM debian:12\nCOPY . /\n', file: 'x' });
  await tbuildOk([context], { store });
  for (const afterMs of [60, 120, 180, 300]) {
    const args = ['-o', at('out'), '-o', `type=tar,dest=${at('tar')}`, context];
    const child = spawn(path.join(repository, 'bin/tbuild'), args, {
      env: { ...process.env, TBUILD_ROOT: store },
      stdio: 'ignore',
    });
    const ended = once(child, 'exit'); // it may have, when its turn to be interrupted comes
    await sleep(afterMs);
    child.kill('SIGINT');
    await ended;
    expect(leftovers(folder)).toEqual([]);
    if (existsSync(at('out'))) expect(readdirSync(at('out/usr/bin')).length).toBeGreaterThan(100);
    if (existsSync(at('tar'))) sh('tar tf "$1" >/dev/null', at('tar'));
    rmSync(at('out'), { recursive: true, force: true });
    rmSync(at('tar'), { force: true });
  }
});

test('a FIFO is written to, not replaced', async () => {
  sh('mkfifo "$1"', at('pipe'));
  const reading = spawn('cat', [at('pipe')], { stdio: ['ignore', 'pipe', 'inherit'] });
  const closed = once(reading, 'close');
  let read = 0;
  reading.stdout.on('data', (chunk: Buffer) => {
    read += chunk.length;
  });
  await tbuildOk(['-o', `type=tar,dest=${at('pipe')}`, small()]);
  await closed;
  expect(read).toBeGreaterThan(1024);
  expect(lstatSync(at('pipe')).isFIFO()).toBe(true);
});

test('an image ID for a device goes there, and takes nothing away', async () => {
  sh('mknod "$1" c 1 3', at('null'));
  await tbuildOk(['build', '-q', '--iidfile', at('null'), small()]);
  expect(lstatSync(at('null')).isCharacterDevice()).toBe(true);
});
