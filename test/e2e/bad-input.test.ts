// Whatever is wrong with what tbuild is given: one clear error, the exit code of its family, and a store that lost nothing.

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { emptyStore, freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

let store: string;
beforeAll(() => {
  store = freshStore();
});

/** Standard error of a build that must fail, with progress in plain, without what differs from run to run. */
async function failure(
  args: readonly string[],
  code: number,
  options: { store?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  const result = await tbuild(['build', '--progress=plain', ...args], { store, ...options });
  expect(result.stderr).not.toMatch(/^\s+at /m);
  expect(result.code, result.stderr).toBe(code);
  return result.stderr;
}

describe('a Dockerfile', () => {
  it('that is not there', async () => {
    const context = makeContext({ 'file.txt': '' });
    expect(await failure([context], 3)).toContain(`error: there is no Dockerfile at ${context}/Dockerfile`);
  });

  it('with an unknown instruction: the place, and what was meant', async () => {
    const said = await failure([makeContext({ Dockerfile: 'FROM busybox\nRNU echo hello\n' })], 3);
    expect(said).toMatch(/unknown instruction: RNU/i);
    expect(said).toMatch(/did you mean RUN\?/i);
    expect(said).toMatch(/2 \| >>> RNU echo hello/);
  });

  it('with an unknown stage', async () => {
    const context = makeContext({ Dockerfile: 'FROM busybox AS build\nFROM scratch\n' });
    expect(await failure(['--target', 'biuld', context], 3)).toMatch(/target stage "?biuld"? could not be found/);
  });

  it('with an image that is not here', async () => {
    const said = await failure([makeContext({ Dockerfile: 'FROM 127.0.0.1:1/no/such:image\nRUN true\n' })], 5);
    expect(said).toContain('failed to resolve source metadata for 127.0.0.1:1/no/such:image');
    expect(said).toContain('cannot reach the registry 127.0.0.1:1');
  });

  it('that is empty', async () => {
    expect(await failure([makeContext({ Dockerfile: '' })], 3)).toMatch(/empty|no instructions/);
  });
});

describe('a context', () => {
  it('that is not there', async () => {
    expect(await failure(['/no/such/place'], 4)).toContain('the build context /no/such/place cannot be read: ENOENT');
  });

  it('without what COPY names', async () => {
    const said = await failure([makeContext({ Dockerfile: 'FROM busybox\nCOPY present missing /x/\n', present: '' })], 4);
    expect(said).toContain('"missing" not found in the build context');
    expect(said).toMatch(/2 \| >>> COPY present missing \/x\//);
  });

  // Root reads everything, so an unreadable file is one that an ordinary user's tbuild meets; a file that goes on changing is for everyone.
  it('with a file that cannot be read', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY . /\n', secret: 'x' });
    chmodSync(path.join(context, 'secret'), 0);
    const unprivileged = mkdtempSync(path.join(tmpdir(), 'tbuild-unprivileged-'));
    try {
      chmodSync(context, 0o755);
      execFileSync('chown', ['65534:65534', unprivileged]);
      const command = ['--reuid=65534', '--regid=65534', '--clear-groups', path.resolve('dist/tbuild-runner'), 'serve'];
      const input = `${JSON.stringify({ id: 1, op: 'scan', root: context, out: path.join(unprivileged, 'scan') })}\n`;
      const answer = JSON.parse(execFileSync('setpriv', command, { input, encoding: 'utf8' }));
      expect(answer.error).toMatchObject({ code: 'context/unreadable', errno: 'EACCES' });
      expect(answer.error.path).toContain('secret');
    } finally {
      rmSync(unprivileged, { recursive: true });
    }
  });
});

describe('a RUN that fails', () => {
  it('exits 1, shows its output, its own exit code and its place; what was finished stays cached', async () => {
    const context = makeContext({ Dockerfile: 'FROM busybox\nRUN echo first > /first\nRUN echo "about to fail" && exit 42\n' });
    const said = await failure([context], 1);
    expect(said).toContain('about to fail');
    expect(said).toContain('exit code: 42');
    expect(said).toMatch(/3 \| >>> RUN echo "about to fail" && exit 42/);
    expect(await failure([context], 1)).toMatch(/^#\d+ CACHED$/m);
  });

  it('for want of the command', async () => {
    expect(await failure([makeContext({ Dockerfile: 'FROM busybox\nRUN ["/no/such/command"]\n' })], 1)).toContain(
      '/no/such/command',
    );
  });

  it('for want of a required secret', async () => {
    const said = await failure([makeContext({ Dockerfile: 'FROM busybox\nRUN --mount=type=secret,id=key,required true\n' })], 1);
    expect(said).toContain('secret key is required and was not given');
  });

  it('for want of its user', async () => {
    expect(await failure([makeContext({ Dockerfile: 'FROM busybox\nUSER nobody-here\nRUN true\n' })], 1)).toContain(
      'unable to find user nobody-here',
    );
  });
});

describe('a command line', () => {
  it.each([
    [['build', '--no-such-flag', '.'], /unknown flag: --no-such-flag/],
    [['build'], /takes 1 argument, not 0/],
    [['build', '-t', 'Not A Name', '.'], /Not A Name/],
    [['build', '--secret', 'id=x,src=/no/such/file', '.'], /cannot read the secret x/],
    [
      ['build', '--secret', 'id=x,env=NOT_SET_ANYWHERE', '.'],
      /cannot read the secret x: the environment has no NOT_SET_ANYWHERE/,
    ],
    [['run', '--rm', '-v', 'relative:', 'busybox'], /invalid volume/],
  ])('%j', async (args, message) => {
    const context = makeContext({ Dockerfile: 'FROM scratch\n' });
    const { code, stderr } = await tbuild(args, { store, cwd: context });
    expect(stderr).toMatch(message);
    expect(code).toBeGreaterThan(0);
  });

  it('run exits as docker run does', async () => {
    const exit = async (...args: string[]) => (await tbuild(['run', '--rm', ...args], { store })).code;
    expect(await exit('busybox', 'sh', '-c', 'exit 7')).toBe(7);
    expect(await exit('busybox', 'sh', '-c', 'sh -c "kill -9 \\$\\$"; exit $?')).toBe(137);
    expect(await exit('busybox', '/no/such/command')).toBe(127);
    expect(await exit('busybox', '/etc')).toBe(126);
    expect(await exit('no-such-image')).toBe(125);
  });
});

describe('a full disk', () => {
  it('is one clear error, and the store goes on when there is room again', async () => {
    const mounted = mkdtempSync(path.join(tmpdir(), 'tbuild-small-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tbuild-test', mounted]);
    onTestFinished(() => {
      execFileSync('umount', [mounted]);
      rmSync(mounted, { recursive: true });
    });
    const small = path.join(mounted, 'store');
    mkdirSync(small);
    const context = makeContext({ 'small.txt': 'small', Dockerfile: 'FROM scratch\nCOPY small.txt /\nCOPY big /\n', big: '' });
    execFileSync('dd', ['if=/dev/urandom', `of=${path.join(context, 'big')}`, 'bs=1M', 'count=32', 'status=none']);
    const said = await failure([context], 7, { store: small });
    expect(said).toContain('no space left on the disk');
    execFileSync('truncate', ['-s', '1M', path.join(context, 'big')]);
    const after = await tbuild(['build', '--progress=plain', context], { store: small });
    expect(after.code, after.stderr).toBe(0);
    expect(after.stderr).toMatch(/^#\d+ CACHED$/m);
    await tbuildOk(['fsck'], { store: small });
  });
});

describe('a store', () => {
  // Under /proc Node's own recursive mkdir never ends.
  it.each(['/etc/passwd/store', '/proc/no/store'])('that cannot be made: %s', async (root) => {
    expect(await failure([makeContext({ Dockerfile: 'FROM scratch\n' })], 7, { store: root })).toContain(
      `cannot make a store at ${root}`,
    );
  });

  it('named by a relative path is the same one', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' });
    const made = await tbuild(['build', '--progress=plain', '.'], { store: 'a/store', cwd: context });
    expect(made.code, made.stderr).toBe(0);
    expect((await tbuild(['fsck'], { store: path.join(context, 'a/store') })).stdout).toContain('checked 1 images, 1 layers');
  });

  it('of a later version', async () => {
    const root = emptyStore();
    await tbuildOk(['images'], { store: root });
    execFileSync('sh', ['-c', `echo 'tbuild store 99' > ${root}/version`]);
    expect(await failure([makeContext({ Dockerfile: 'FROM scratch\n' })], 7, { store: root })).toContain('tbuild store 99');
  });
});
