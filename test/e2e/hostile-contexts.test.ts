// Contexts that are made to break a build, or that break while it reads them: the right result or one clear error, never a hang, nothing written elsewhere.

import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildError, buildImage } from '../support/built-image.ts';
import { makeContext } from '../support/contexts.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild } from '../support/tbuild.ts';

const copyAll = 'FROM scratch\nCOPY . /d\n';
const timeoutMs = 60_000;

describe('links', () => {
  it('in circles are copied as they are', async () => {
    const context = makeContext({ 'sub/file': 'x' });
    symlinkSync('b', path.join(context, 'a'));
    symlinkSync('a', path.join(context, 'b'));
    symlinkSync('self', path.join(context, 'self'));
    symlinkSync('..', path.join(context, 'sub/up'));
    const { files } = await buildImage(copyAll, { context, timeoutMs });
    expect(['a', 'self', 'sub/up'].map((name) => files.get(`d/${name}`)?.linkname)).toEqual(['b', 'self', '..']);
  });

  it('in circles are no source', async () => {
    const context = makeContext({});
    symlinkSync('b', path.join(context, 'a'));
    symlinkSync('a', path.join(context, 'b'));
    for (const source of ['a', 'a/x', 'a*/x', 'b/']) {
      const said = await buildError(`FROM scratch\nCOPY ${source} /d/\nCOPY a /e\n`, { context, timeoutMs });
      expect(said).toContain('not found in the build context');
    }
  });

  it('out of the context lead nowhere', async () => {
    const outside = makeContext({ secret: 'the host’s' });
    const context = makeContext({ 'etc/file': 'inside' });
    symlinkSync(outside, path.join(context, 'out'));
    symlinkSync('../../../../../../../../etc', path.join(context, 'climb'));
    symlinkSync(path.join(outside, 'secret'), path.join(context, 'file'));
    for (const source of ['out', 'out/secret', 'file'])
      expect(await buildError(`FROM scratch\nCOPY ${source} /d/\n`, { context, timeoutMs })).toContain('not found');
    // Its root is the context.
    expect((await buildImage('FROM scratch\nCOPY climb /d/\n', { context })).text('d/file')).toBe('inside');
  });

  it('may be the context, the Dockerfile, the ignore file', async () => {
    const context = makeContext({ real: copyAll, ignore: 'hidden', hidden: '' });
    symlinkSync('ignore', path.join(context, '.dockerignore'));
    symlinkSync('real', path.join(context, 'Dockerfile'));
    const link = `${context}-link`;
    symlinkSync(context, link);
    try {
      const { list } = await buildImage('read from the context', { context: link, args: ['-f', path.join(link, 'Dockerfile')] });
      expect(list('d')).toEqual(['.dockerignore', 'Dockerfile', 'ignore', 'real']);
    } finally {
      unlinkSync(link);
    }
  });

  it('of one file stay so', async () => {
    const context = makeContext({ a: 'x' });
    linkSync(path.join(context, 'a'), path.join(context, 'b'));
    const { files } = await buildImage(copyAll, { context });
    expect(files.get('d/b')?.name).toBe('d/a');
  });
});

describe('what is no file', () => {
  it('is copied as it is: FIFOs, devices; a socket is left out of an image', async () => {
    const context = makeContext({ file: 'x' });
    execFileSync('mkfifo', [path.join(context, 'fifo')]);
    execFileSync('mknod', [path.join(context, 'null'), 'c', '1', '3']);
    const server = createServer().listen(path.join(context, 'socket'));
    try {
      const { files } = await buildImage(copyAll, { context, timeoutMs });
      expect(files.get('d/fifo')?.type).toBe('fifo');
      expect(files.get('d/null')).toMatchObject({ type: 'character-device', devmajor: 1, devminor: 3 });
      expect(files.has('d/socket')).toBe(false);
    } finally {
      server.close();
    }
  });

  it('is no Dockerfile', async () => {
    const context = makeContext({});
    execFileSync('mkfifo', [path.join(context, 'Dockerfile')]);
    mkdirSync(path.join(context, 'sub'));
    for (const [args, message] of [
      [[context], `cannot read the Dockerfile ${context}/Dockerfile: it is no file`],
      [['-f', path.join(context, 'sub'), context], `cannot read the Dockerfile ${context}/sub: EISDIR`],
    ] as const) {
      const { code, stderr } = await tbuild(['build', ...args], { timeoutMs: 20_000 });
      expect(stderr).toContain(message);
      expect(code).toBe(3);
    }
  });

  it('that could not be a whiteout’s name is an error', async () => {
    const context = makeContext({ '.wh.name': '' });
    expect(await buildError(copyAll, { context })).toContain('d/.wh.name: a name that starts with .wh. cannot be in a layer');
  });

  it('is no ignore file', async () => {
    const context = makeContext({});
    execFileSync('mkfifo', [path.join(context, '.dockerignore')]);
    expect(await buildError(copyAll, { context, timeoutMs: 20_000 })).toContain('.dockerignore: it is no file');
  });
});

describe('what may not be read', () => {
  // Root may read everything, so this root has given that up.
  const withoutRights = (context: string) => {
    const rights = '-dac_override,-dac_read_search';
    const bin = path.join(import.meta.dirname, '../../bin/tbuild');
    const { status, stderr } = spawnSync(
      'setpriv',
      [`--bounding-set=${rights}`, `--inh-caps=${rights}`, bin, 'build', '--progress=plain', context],
      { env: { ...process.env, TBUILD_ROOT: freshStore() }, encoding: 'utf8', timeout: timeoutMs },
    );
    return { code: status, stderr };
  };

  it('is an error that names it, and says how to go on', () => {
    const context = makeContext({ Dockerfile: copyAll, 'sub/secret': { text: 'x', mode: 0o600 } });
    chownSync(path.join(context, 'sub/secret'), 1234, 1234);
    const file = withoutRights(context);
    expect(file.stderr).toContain('error: cannot read sub/secret: permission denied');
    expect(file.stderr).toContain('make it readable, or exclude it in .dockerignore');
    expect(file.code).toBe(4);
    chmodSync(path.join(context, 'sub'), 0o700);
    chownSync(path.join(context, 'sub'), 1234, 1234);
    const directory = withoutRights(context);
    expect(directory.stderr).toContain('error: cannot read sub: permission denied');
    expect(directory.code).toBe(4);
    writeFileSync(path.join(context, '.dockerignore'), 'other');
    expect(withoutRights(context).stderr).toMatch(/cannot read the directory .*sub: EACCES/);
    writeFileSync(path.join(context, '.dockerignore'), 'sub');
    const ignored = withoutRights(context);
    expect(ignored.code, ignored.stderr).toBe(0);
  });
});

describe('names', () => {
  it('with line ends, quotes, blanks and control characters are names', async () => {
    const names = ['a\nb', ' lead', 'trail ', '"quoted"', 'back\\slash', '\u0001\u001b[31m', '💥', '-rf', '*', '[', '#', '!'];
    const context = makeContext(Object.fromEntries(names.map((name) => [name, name])));
    const built = await buildImage(copyAll, { context });
    for (const name of names) expect(built.text(`d/${name}`), JSON.stringify(name)).toBe(name.replace(/\n$/, ''));
  });

  it('that are not UTF-8 are an error that shows them, unless they are ignored', async () => {
    const context = makeContext({ sub: { link: '.' } });
    const name = Buffer.concat([Buffer.from(`${context}/odd-`), Buffer.from([0xff, 0xfe])]);
    writeFileSync(name, '');
    try {
      const said = await buildError(copyAll, { context });
      expect(said).toContain('cannot copy d/odd-\\xff\\xfe: its name, or that of what it links to, is not UTF-8');
      writeFileSync(path.join(context, '.dockerignore'), 'nothing');
      expect(await buildError(copyAll, { context })).toContain('is not UTF-8');
      writeFileSync(path.join(context, '.dockerignore'), 'odd-*');
      expect((await buildImage(copyAll, { context })).list('d')).toEqual(['.dockerignore', 'sub']);
    } finally {
      unlinkSync(name);
    }
  });

  it('of a stage may be anything, as long as they are not copied one by one', async () => {
    const odd = `FROM busybox AS odd\nRUN d=$(printf '\\377\\376') && mkdir -p "/in/$d/sub" && touch "/in/$d/sub/f" /in/plain\n`;
    const said = await buildError(`${odd}FROM scratch\nCOPY --from=odd /in /d\n`, { timeoutMs });
    expect(said).toContain('cannot copy d/\\xff\\xfe: its name');
    const built = await buildImage(`${odd}FROM scratch\nCOPY --from=odd /in/plain /d\n`, { timeoutMs });
    expect(built.stat('d')).toBe('644 0:0');
  });

  it('may be as long as the system lets them', async () => {
    const context = makeContext({ ['n'.repeat(255)]: 'x' });
    expect((await buildImage(copyAll, { context })).list('d')).toContain('n'.repeat(255));
  });
});

describe('sizes', () => {
  it('a very deep tree is copied, or said to be too deep', async () => {
    const context = makeContext({});
    execFileSync('python3', [
      '-c',
      `import os,sys
os.chdir(sys.argv[1])
for i in range(900):
    os.mkdir('dddd'); os.chdir('dddd')
open('leaf','w').write('x')`,
      context,
    ]);
    try {
      const { code, stderr } = await tbuild(['build', '-f', '-', context], { input: copyAll, timeoutMs });
      if (code !== 0) {
        expect(stderr).toMatch(/too long|too deep|more than \d+ bytes/);
        expect(code).toBe(4);
      }
    } finally {
      execFileSync('rm', ['-rf', context]);
    }
  });

  it('a hundred thousand files in one directory', async () => {
    const context = makeContext({});
    mkdirSync(path.join(context, 'many'));
    execFileSync('python3', [
      '-c',
      `import sys\nfor i in range(100000): open(f'{sys.argv[1]}/{i}','w')`,
      path.join(context, 'many'),
    ]);
    const { code, stderr } = await tbuild(['build', '-q', '-f', '-', context], { input: copyAll, timeoutMs: 240_000 });
    expect(code, stderr).toBe(0);
  });

  it('a sparse file keeps its size and costs no disk', async () => {
    const context = makeContext({});
    const file = path.join(context, 'huge');
    writeFileSync(file, 'begin');
    truncateSync(file, 2 ** 30);
    const { code, stderr } = await tbuild(['build', '-q', '-f', '-', context], { input: copyAll, timeoutMs: 240_000 });
    expect(code, stderr).toBe(0);
  });
});

describe('a context that changes while it is read', () => {
  /** Builds while `disturb` goes on; only a clear error or a whole image may come of it. */
  async function during(context: string, disturb: (round: number) => void): Promise<void> {
    let round = 0;
    const timer = setInterval(() => disturb(round++), 1);
    try {
      for (let i = 0; i < 5; i++) {
        const { code, stderr } = await tbuild(['build', '--progress=plain', '--no-cache', '-f', '-', context], {
          input: copyAll,
          timeoutMs,
        });
        if (code === 0) continue;
        expect(stderr).toMatch(/changed while|vanished|is gone|ENOENT|no such file|no regular file|its size|became shorter/);
        expect([4, 8]).toContain(code);
        expect(stderr).not.toMatch(/bug in tbuild|^\s+at /m);
      }
    } finally {
      clearInterval(timer);
    }
  }
  const bulk = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`bulk/${i}`, 'x'.repeat(i * 100)]));

  it('files that grow and shrink', async () => {
    const context = makeContext(bulk);
    await during(context, (round) => {
      const file = path.join(context, `bulk/${round % 300}`);
      if (round % 2 === 0) appendFileSync(file, 'more');
      else truncateSync(file, 1);
    });
  });

  it('files and directories that come and go', async () => {
    const context = makeContext(bulk);
    await during(context, (round) => {
      const file = path.join(context, `bulk/${round % 300}`);
      if (existsSync(file)) rmSync(file, { recursive: true });
      else if (round % 3 === 0) mkdirSync(file);
      else writeFileSync(file, 'new');
    });
  });

  it('files that become links and FIFOs, and archives too', async () => {
    const context = makeContext(bulk);
    const names = ['file', 'link', 'fifo'].map((name) => path.join(context, name));
    const target = path.join(context, 'bulk/250');
    symlinkSync('/etc/passwd', names[1] as string);
    execFileSync('mkfifo', [names[2] as string]);
    const kept = openSync(names[2] as string, 'r+');
    expect(kept).toBeGreaterThan(0);
    await during(context, (round) => {
      rmSync(target, { force: true });
      if (round % 3 === 0) writeFileSync(target, 'x'.repeat(25_000));
      else if (round % 3 === 1) symlinkSync('/etc/passwd', target);
      else execFileSync('mkfifo', [target]);
    });
  });

  it('directories that become links out', async () => {
    const outside = makeContext({ in: 'the host’s' });
    const context = makeContext({ ...bulk, 'dir/in': 'inside' });
    const dir = path.join(context, 'dir');
    await during(context, (round) => {
      if (round % 2 === 0) {
        renameSync(dir, `${dir}-away`);
        symlinkSync(outside, dir);
      } else {
        unlinkSync(dir);
        renameSync(`${dir}-away`, dir);
      }
    });
  });
});

describe('the root of the file system', () => {
  it('may be the context: its own file systems are left out or their faults are said', async () => {
    const dockerfile = 'FROM scratch\nCOPY etc/hostname /h\n';
    const elsewhere = makeContext({ 'X.Dockerfile': dockerfile, 'X.Dockerfile.dockerignore': '*\n!etc/hostname\n' });
    const args = ['build', '-q', '-f', path.join(elsewhere, 'X.Dockerfile'), '/'];
    const { code, stderr } = await tbuild(args, { timeoutMs });
    expect(code, stderr).toBe(0);
  });
});
