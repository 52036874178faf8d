// RUN steps that are repeated only for what they looked at: what hits and what misses, told by real builds.

import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { openLaboratory } from '../soundness/laboratory.ts';
import { tryPairs } from '../soundness/trials.ts';
import { type ContextFile, makeContext, writeFiles } from '../support/contexts.ts';
import { build } from '../support/events.ts';
import { emptyStore, freshStore } from '../support/stores.ts';
import { repository, tbuild, tbuildOk } from '../support/tbuild.ts';

let store: string;
beforeAll(() => {
  store = freshStore();
});

const dockerfile = (...lines: string[]): string => lines.join('\n');
const runs = ({ ran }: { readonly ran: readonly string[] }) => ran.filter((name) => name.startsWith('RUN'));

/** Builds, changes the context, builds again: the RUNs that were executed then. */
async function afterwards(files: Readonly<Record<string, ContextFile>>, change: (context: string) => void, ...flags: string[]) {
  const context = makeContext(files);
  const first = await build([...flags, context], { store });
  expect(first.code, first.stderr).toBe(0);
  change(context);
  const second = await build([...flags, context], { store });
  expect(second.code, second.stderr).toBe(0);
  return runs(second);
}

const write = (files: Readonly<Record<string, ContextFile>>) => (context: string) => writeFiles(context, files);

describe('after COPY . . a command that reads one file', () => {
  const install = 'RUN cat package.json > installed; test -e .npmrc || echo none';
  const files = {
    Dockerfile: dockerfile('FROM busybox', 'WORKDIR /app', 'COPY . .', install),
    'package.json': '{}\n',
    README: 'read me\n',
    'src/a': 'a\n',
    'src/b': 'b\n',
  };
  it.for<[string, (context: string) => void, string[]]>([
    ['is not repeated for another content elsewhere', write({ 'src/a': 'edited\n' }), []],
    ['is not repeated for a new file', write({ 'src/c': 'c\n' }), []],
    ['is not repeated for a new file beside it', write({ LICENSE: 'free\n' }), []],
    ['is not repeated for a file that is gone', (context) => rmSync(path.join(context, 'README')), []],
    ['is not repeated for a directory that is gone', (context) => rmSync(path.join(context, 'src'), { recursive: true }), []],
    ['is not repeated for a touch', (context) => utimesSync(path.join(context, 'package.json'), 1, 1), []],
    ['is repeated for that file', write({ 'package.json': '{ }\n' }), [install]],
    ['is repeated for its mode', write({ 'package.json': { text: '{}\n', mode: 0o755 } }), [install]],
    ['is repeated for one that it did not find', write({ '.npmrc': '' }), [install]],
  ])('%s', async ([, change, expected]) => {
    expect(await afterwards(files, change)).toEqual(expected);
  });

  it('is not repeated when the edit is taken back, nor for what was built before it', async () => {
    const context = makeContext(files);
    await build([context], { store });
    for (const text of ['{ }\n', '{}\n', '{ }\n']) {
      writeFiles(context, { 'package.json': text });
      const { ran } = await build([context], { store });
      if (text === '{}\n') expect(ran).toEqual([]);
    }
    expect((await build([context], { store })).ran).toEqual([]);
  });
});

describe('commands in a row', () => {
  const lines = ['FROM busybox', 'WORKDIR /app', 'COPY . .', 'RUN cat a > from-a', 'RUN cat b > from-b', 'RUN cat from-a > end'];
  const files = { Dockerfile: dockerfile(...lines), a: 'a\n', b: 'b\n', c: 'c\n' };
  it.for<[string, string, string[]]>([
    ['what none of them read repeats none', 'c', []],
    ['what the second read repeats it, and what stands on what it made', 'b', ['RUN cat b > from-b', 'RUN cat from-a > end']],
    ['what the first read repeats all', 'a', lines.slice(3)],
  ])('%s', async ([, name, expected]) => {
    expect(await afterwards(files, write({ [name]: 'edited\n' }))).toEqual(expected);
  });

  it('one that makes the same again stops it', async () => {
    const same = { ...files, Dockerfile: dockerfile(...lines.slice(0, 3), 'RUN wc -l < a > from-a', 'RUN cat from-a > end') };
    expect(await afterwards(same, write({ a: 'edited\n' }))).toEqual(['RUN wc -l < a > from-a']);
  });
});

describe('what a command sees besides files of its own', () => {
  it('a listing: a new name in it', async () => {
    const files = { Dockerfile: dockerfile('FROM busybox', 'COPY . /app', 'RUN echo /app/src/*'), 'src/a': 'a', 'lib/b': 'b' };
    expect(await afterwards(files, write({ 'src/a': 'edited', 'lib/c': 'c' }))).toEqual([]);
    expect(await afterwards(files, write({ 'src/c': 'c' }))).toEqual(['RUN echo /app/src/*']);
  });

  it('a program that was copied', async () => {
    const run = 'RUN tool > /made';
    const tool = (word: string): ContextFile => ({ text: `#!/bin/sh\necho ${word}\n`, mode: 0o755 });
    const files = { Dockerfile: dockerfile('FROM busybox', 'COPY . /usr/local/bin/', run), tool: tool('one'), other: 'x' };
    expect(await afterwards(files, write({ other: 'y' }))).toEqual([]);
    expect(await afterwards(files, write({ tool: tool('two') }))).toEqual([run]);
  });

  it('links on the way, and where its working directory is', async () => {
    const files = {
      Dockerfile: dockerfile('FROM busybox', 'COPY . /srv/', 'WORKDIR /srv/here', 'RUN cat name > /made'),
      'one/name': 'one',
      'two/name': 'two',
      here: { link: 'one' },
    };
    const repoint = (context: string) => {
      rmSync(path.join(context, 'here'));
      writeFiles(context, { here: { link: 'two' } });
    };
    expect(await afterwards(files, write({ 'two/name': 'edited' }))).toEqual([]);
    expect(await afterwards(files, repoint)).toEqual(['RUN cat name > /made']);
  });

  it('its user, by what the name means', async () => {
    const lines = ['FROM busybox', 'COPY passwd /etc/passwd', 'COPY . /srv', 'USER web', 'RUN id -u > /tmp/made'];
    const passwd = (uid: number, more = '') => `root:x:0:0::/root:/bin/sh\nweb:x:${uid}:5::/:/bin/sh\n${more}`;
    const files = { Dockerfile: dockerfile(...lines), passwd: passwd(5) };
    expect(await afterwards(files, write({ passwd: passwd(6) }))).toEqual(['RUN id -u > /tmp/made']);
    const quiet = { Dockerfile: dockerfile(...lines.slice(0, 4), 'RUN true'), passwd: passwd(7) };
    expect(await afterwards(quiet, write({ passwd: passwd(7, 'new:x:9:9::/:\n') }))).toEqual([]);
  });

  it('what is copied from a stage', async () => {
    const files = {
      Dockerfile: dockerfile(
        'FROM busybox AS made',
        'COPY . /in',
        'RUN mkdir /out && cp /in/a /in/b /out',
        'FROM busybox',
        'COPY --from=made /out /out',
        'RUN cat /out/a > /made',
      ),
      a: 'a',
      b: 'b',
    };
    expect(await afterwards(files, write({ b: 'edited' }))).toEqual(['RUN mkdir /out && cp /in/a /in/b /out']);
  });
});

describe('bind mounts', () => {
  it.for(['', ',rw'])('of the context are observed%s', async (more) => {
    const run = `RUN --mount=target=/src${more} cat /src/a > /made`;
    const files = { Dockerfile: dockerfile('FROM busybox', run), a: 'a', b: 'b' };
    expect(await afterwards(files, write({ b: 'edited', c: 'new' }))).toEqual([]);
    expect(await afterwards(files, write({ a: 'edited' }))).toEqual([run]);
  });

  it('of a stage are observed, names that are no text among them', async () => {
    const name = String.raw`$(printf 'caf\303\251\377')`;
    const make = (text: string) => `RUN mkdir /out && echo ${text} > "/out/${name}" && echo $(cat /in/b) > /out/b`;
    const run = `RUN --mount=from=made,source=/out,target=/m cat "/m/${name}" > /made`;
    const lines = (text: string) => dockerfile('FROM busybox AS made', 'COPY . /in', make(text), 'FROM busybox', run);
    const files = { Dockerfile: lines('one'), b: 'b' };
    expect(await afterwards(files, write({ b: 'edited' }))).toEqual([make('one')]);
    expect(await afterwards(files, write({ Dockerfile: lines('two') }))).toEqual([make('two'), run]);
  });
});

describe('who does not want it', () => {
  const run = 'RUN cat a > /made';
  const files = { Dockerfile: dockerfile('FROM busybox', 'COPY . /app', 'WORKDIR /app', run), a: 'a', b: 'b' };

  it('says --trace=off: any change below counts', async () => {
    expect(await afterwards(files, write({ b: 'edited' }), '--trace=off')).toEqual([run]);
    expect(await afterwards(files, () => {}, '--trace=off')).toEqual([]);
  });

  it('says so above one RUN', async () => {
    const said = { ...files, Dockerfile: dockerfile('FROM busybox', 'COPY . /app', 'WORKDIR /app', '# tbuild: trace=off', run) };
    expect(await afterwards(said, write({ b: 'said' }))).toEqual([run]);
  });

  it('has what was made without, when it is all the same again', async () => {
    const context = makeContext({ ...files, c: 'of its own' });
    await build(['--trace=off', context], { store });
    expect((await build([context], { store })).ran).toEqual([]);
  });
});

describe('--trace=verify', () => {
  it('repeats what would be reused, and is content when it comes out equal', async () => {
    const files = {
      Dockerfile: dockerfile('FROM busybox', 'COPY . /app', 'RUN cat /app/a > /made; date > /dev/null'),
      a: 'a',
      b: 'b',
    };
    const context = makeContext(files);
    await build([context], { store });
    writeFiles(context, { b: 'edited' });
    const { code, events } = await build(['--trace=verify', context], { store });
    expect(code).toBe(0);
    expect(events.some((event) => event.type === 'start' && event.step === 3)).toBe(true);
  });

  it('fails on what is another each time, and names it', async () => {
    const run = 'RUN cat /proc/sys/kernel/random/uuid > /made; cat /app/a';
    const context = makeContext({ Dockerfile: dockerfile('FROM busybox', 'COPY . /app', run), a: 'a', b: 'b' });
    await build([context], { store });
    writeFiles(context, { b: 'edited' });
    const { code, stderr } = await tbuild(['--trace=verify', context], { store });
    expect(code).toBe(1);
    expect(stderr).toContain(`${run}: executed again, it made something else: /made: content`);
    expect((await build([context], { store })).ran.filter((name) => name.startsWith('RUN'))).toEqual([]);
  });
});

describe('when the observer', () => {
  /** The traces of a store, newest first. */
  const traces = (root: string) => {
    const db = new DatabaseSync(path.join(root, 'tbuild.db'), { readOnly: true });
    const rows = db.prepare('SELECT trace FROM traces ORDER BY id DESC').all() as { trace: string }[];
    db.close();
    return rows.map(({ trace }) => JSON.parse(trace) as { exact: string[]; gaps: (string[][] | null)[] });
  };

  it('is killed, the command is run once more without, and nothing that it saw is kept', async () => {
    const own = freshStore();
    const mark = `step-${process.pid}`;
    const run = `RUN : ${mark}; sleep 2; if [ -e /app/a ]; then cat /app/a; else echo absent; fi > /made`;
    const context = makeContext({ Dockerfile: dockerfile('FROM busybox', 'COPY . /app', run, 'CMD cat /made'), a: 'there\n' });
    const building = build(['-t', 'killed', context], { store: own });
    process.kill(await findObserver(mark), 'SIGKILL');
    const { code, stderr } = await building;
    expect(code, stderr).toBe(0);
    expect(stderr).toContain('running once more without');
    expect(await tbuildOk(['run', '--rm', 'killed'], { store: own })).toBe('there\n');
    expect(traces(own)[0]?.gaps.every((gap) => gap === null)).toBe(true);
    expect(traces(own)[0]?.exact).toHaveLength(2);
  });

  it('cannot begin any more, the command is run without', async () => {
    const context = makeContext({ Dockerfile: dockerfile('FROM busybox', 'COPY . /app', 'RUN cat /app/a > /made'), a: 'a\n' });
    const script = 'mount --bind /dev/null /dev/fuse && exec "$@"';
    const args = ['--mount', 'sh', '-c', script, 'sh', path.join(repository, 'bin/tbuild'), '--progress=plain', context];
    const { status, stderr } = spawnSync('unshare', args, { env: { ...process.env, TBUILD_ROOT: store }, encoding: 'utf8' });
    expect(status, stderr).toBe(0);
    expect(stderr).toContain('running once more without');
  });

  it('has seen all, and the disk is full then, nothing is kept of it', async () => {
    const own = emptyStore();
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tbuild-test', own]);
    try {
      const write = 'cat /app/a && dd if=/dev/urandom of=/big bs=1M count=100 2> /dev/null';
      const applets = ['cat', 'dd', 'sh'].map((name) => `RUN ["/bin/busybox", "ln", "/bin/busybox", "/bin/${name}"]`);
      const lines = ['FROM scratch', 'COPY busybox /bin/busybox', ...applets, 'COPY a /app/a', `RUN ${write}`];
      const context = makeContext({ Dockerfile: dockerfile(...lines), a: 'a\n' });
      copyFileSync('/bin/busybox', path.join(context, 'busybox'));
      const { code, stderr } = await tbuild([context], { store: own });
      expect(code, stderr).toBe(7);
      expect(stderr).toContain('no space left');
      const watched = traces(own).flatMap(({ gaps }) => gaps.flatMap((gap) => gap ?? []));
      expect(watched.some(([, at]) => at === 'bin/busybox')).toBe(true);
      expect(watched.filter(([, at]) => at === 'app/a')).toEqual([]);
    } finally {
      execFileSync('umount', [own]);
    }
  });

  it('is asked again after the kernel’s caches were dropped, what it says is right', async () => {
    const run = 'RUN cat /app/a; sleep 1; cat /app/a /app/b > /made';
    const context = makeContext({ Dockerfile: dockerfile('FROM busybox', 'COPY . /app', run), a: 'a\n', b: 'b\n', c: 'c\n' });
    const building = build([context], { store });
    await sleep(700);
    writeFileSync('/proc/sys/vm/drop_caches', '2');
    expect((await building).code).toBe(0);
    writeFiles(context, { c: 'edited' });
    expect(runs(await build([context], { store }))).toEqual([]);
    writeFiles(context, { b: 'edited' });
    expect(runs(await build([context], { store }))).toEqual([run]);
  });
});

/** The child of with-root that is not in the container of the command that has `mark` among its words. */
async function findObserver(mark: string): Promise<number> {
  for (let tries = 0; tries < 200; tries++) {
    const all = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => ({ pid: Number(pid), ...processOf(pid) }));
    const shell = all.find(({ words }) => words.includes(`: ${mark};`) && !words.includes('with-root'));
    const root = shell && ancestorsOf(shell.pid, all).find(({ words }) => words.includes('with-root'));
    const inside = shell ? ancestorsOf(shell.pid, all).map(({ pid }) => pid) : [];
    const observer = root && all.find(({ pid, parent }) => parent === root.pid && !inside.includes(pid));
    if (observer) return observer.pid;
    await sleep(10);
  }
  throw new Error('no observer was found');
}

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly words: string;
}

function processOf(pid: string): Omit<Process, 'pid'> {
  try {
    const parent = Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1]);
    return { parent, words: readFileSync(`/proc/${pid}/cmdline`, 'utf8') };
  } catch {
    return { parent: 0, words: '' };
  }
}

/** Itself among them. */
function ancestorsOf(pid: number, all: readonly Process[]): Process[] {
  const one = all.find((process) => process.pid === pid);
  return one ? [one, ...ancestorsOf(one.parent, all)] : [];
}

it('what was observed holds only where the command does the same (a few of the trials of test/slow)', async () => {
  const laboratory = await openLaboratory(emptyStore());
  try {
    const first = Date.now() % 1_000_000_000;
    const end = performance.now() + 10_000;
    for (let seed = first; performance.now() < end; seed++) {
      const pairs = await tryPairs(laboratory, seed);
      const wrong = pairs.filter(({ holds, difference }) => holds && difference !== undefined);
      expect(wrong, `seed ${seed}`).toEqual([]);
    }
  } finally {
    await laboratory.close();
  }
});
