// Why steps are executed: after each edit, of every step that is not cached, the exact sentence.

import { chmodSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type ContextFile, makeContext, writeFiles } from '../support/contexts.ts';
import { type Built, build } from '../support/events.ts';
import { makeRepositories } from '../support/git-server.ts';
import { type Answer, file, serveHttp } from '../support/http-server.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

let store: string;
beforeAll(() => {
  store = freshStore();
});

/** `COPY src src` → `src/a: content`. */
function missesOf({ events }: Built): Record<string, string> {
  const plan = events.find((event) => event.type === 'plan');
  const misses = events.filter((event) => event.type === 'miss');
  return Object.fromEntries(
    misses.map(({ step, why }) => [plan?.steps[step - 1]?.name.replace(/^\[[^\]]*\] /, '') ?? '', why.text]),
  );
}

interface Case {
  readonly name: string;
  readonly files: Readonly<Record<string, ContextFile>>;
  readonly edit?: (context: string) => void;
  /** Of the first build; unset: those of the second. */
  readonly before?: readonly string[];
  readonly args?: readonly string[];
  readonly misses: Readonly<Record<string, string>>;
}

const app = {
  Dockerfile:
    'FROM busybox\nWORKDIR /app\nCOPY package.json ./\nRUN cat package.json > installed\nCOPY src src\nRUN cat src/* > built\n',
  'package.json': '{}\n',
  'src/a': 'a\n',
  'src/b': 'b\n',
};
const swap = (from: string, to: string) => (context: string) =>
  writeFiles(context, { Dockerfile: app.Dockerfile.replace(from, to) });

const BUILT = 'RUN cat src/* > built';
const COPY = 'COPY src src';

const cases: Case[] = [
  {
    name: 'a file of a COPY',
    files: app,
    edit: (context) => writeFiles(context, { 'src/a': 'edited\n' }),
    misses: { [COPY]: 'src/a: content', [BUILT]: '/app/src/a: content' },
  },
  {
    name: 'a mode',
    files: { ...app, 'src/a': { text: 'a\n', mode: 0o644 } },
    edit: (context) => chmodSync(path.join(context, 'src/a'), 0o664),
    misses: { [COPY]: 'src/a: mode 644 → 664', [BUILT]: '/app/src/a: mode 644 → 664' },
  },
  {
    name: 'content and mode',
    files: { ...app, 'src/a': { text: 'a\n', mode: 0o644 } },
    edit: (context) => writeFiles(context, { 'src/a': { text: 'x\n', mode: 0o755 } }),
    misses: {
      [COPY]: 'src/a: content and mode 644 → 755',
      [BUILT]: '/app/src/a: content and mode 644 → 755',
    },
  },
  {
    name: 'a new file',
    files: app,
    edit: (context) => writeFiles(context, { 'src/.npmrc': 'x\n' }),
    misses: { [COPY]: 'src/.npmrc appeared', [BUILT]: '/app/src/.npmrc appeared' },
  },
  {
    name: 'a removed file',
    files: app,
    edit: (context) => rmSync(path.join(context, 'src/b')),
    misses: { [COPY]: 'src/b disappeared', [BUILT]: '/app/src/b disappeared' },
  },
  {
    name: 'a new directory with files in it',
    files: { ...app, Dockerfile: 'FROM busybox\nCOPY src /src\n' },
    edit: (context) => writeFiles(context, { 'src/lib/one': '1', 'src/lib/two': '2' }),
    misses: { 'COPY src /src': 'src/lib appeared' },
  },
  {
    name: 'more files than a line can name',
    files: app,
    edit: (context) => writeFiles(context, Object.fromEntries(Array.from({ length: 15 }, (_, i) => [`src/f${i + 10}`, `${i}`]))),
    misses: {
      [COPY]: 'src/f10 appeared, src/f11 appeared, src/f12 appeared and 12 more',
      [BUILT]: '/app/src/f10 appeared, /app/src/f11 appeared, /app/src/f12 appeared and 12 more',
    },
  },
  {
    name: 'a file that became a link',
    files: { Dockerfile: 'FROM busybox\nCOPY src /src\n', 'src/a': 'a\n', 'src/b': 'b\n' },
    edit: (context) => {
      rmSync(path.join(context, 'src/a'));
      symlinkSync('b', path.join(context, 'src/a'));
    },
    misses: { 'COPY src /src': 'src/a: file → link' },
  },
  {
    name: "a link's target",
    files: { Dockerfile: 'FROM busybox\nCOPY src /src\n', 'src/a': { link: 'b' } },
    edit: (context) => {
      rmSync(path.join(context, 'src/a'));
      symlinkSync('c', path.join(context, 'src/a'));
    },
    misses: { 'COPY src /src': 'src/a: target b → c' },
  },
  {
    name: 'two COPYs, both below a RUN',
    files: app,
    edit: (context) => writeFiles(context, { 'package.json': '{"a":1}\n', 'src/a': 'edited twice\n' }),
    misses: {
      'COPY package.json ./': 'package.json: content',
      'RUN cat package.json > installed': '/app/package.json: content',
      [COPY]: 'src/a: content',
      [BUILT]: 'because `RUN cat package.json > installed`: /app/package.json: content; /app/src/a: content',
    },
  },
  {
    name: 'an ENV',
    files: { ...app, Dockerfile: app.Dockerfile.replace('COPY src', 'ENV FOO=a\nCOPY src') },
    edit: swap('COPY src', 'ENV FOO=b\nCOPY src'),
    misses: { [BUILT]: 'env FOO: a → b' },
  },
  {
    name: 'a new ENV',
    files: app,
    edit: swap('COPY src', 'ENV NEW=1\nCOPY src'),
    misses: { [BUILT]: 'env NEW appeared' },
  },
  {
    name: 'an ENV that is a secret',
    files: { ...app, Dockerfile: app.Dockerfile.replace('COPY src', 'ARG API_TOKEN=one\nCOPY src') },
    edit: swap('COPY src', 'ARG API_TOKEN=two\nCOPY src'),
    misses: { [BUILT]: 'env API_TOKEN: another value' },
  },
  {
    name: 'a build argument',
    files: { Dockerfile: 'FROM busybox\nARG VERSION\nRUN echo $VERSION > /v\n' },
    before: ['--build-arg', 'VERSION=1.2'],
    args: ['--build-arg', 'VERSION=1.3'],
    misses: { 'RUN echo 1.3 > /v': 'env VERSION: 1.2 → 1.3' },
  },
  {
    name: 'a command',
    files: app,
    edit: swap('RUN cat src/* > built', 'RUN cat src/a > built'),
    misses: { 'RUN cat src/a > built': 'command `cat src/* > built` → `cat src/a > built`' },
  },
  {
    name: 'a long command',
    files: { Dockerfile: 'FROM busybox\nRUN <<EOF\necho 1 > /a\necho 2 > /b\nEOF\n' },
    edit: (context) => writeFiles(context, { Dockerfile: 'FROM busybox\nRUN <<EOF\necho 1 > /a\necho 3 > /b\nEOF\n' }),
    misses: { 'RUN <<EOF (echo 1 > /a...)': 'command changed' },
  },
  {
    name: 'a RUN in the middle',
    files: app,
    edit: swap('COPY src', 'RUN echo new > new\nCOPY src'),
    misses: { 'RUN echo new > new': 'new instruction', [BUILT]: 'because `RUN echo new > new`: new instruction' },
  },
  {
    name: 'a COPY where no command looked before',
    files: {
      Dockerfile: 'FROM busybox\nCOPY a /places\nRUN cat /places > /r1\nRUN cat /places > /r2\n',
      a: 'places\n',
      b: 'b\n',
    },
    edit: (context) =>
      writeFiles(context, {
        Dockerfile: 'FROM busybox\nCOPY a /places\nRUN cat /places > /r1\nCOPY b /between\nRUN cat /places > /r2\n',
      }),
    misses: { 'COPY b /between': 'new instruction', 'RUN cat /places > /r2': 'because `COPY b /between`: new instruction' },
  },
  {
    name: 'a RUN that was taken out',
    files: { Dockerfile: 'FROM busybox\nRUN echo old > /old\nRUN echo rest > /rest\n' },
    edit: (context) => writeFiles(context, { Dockerfile: 'FROM busybox\nRUN echo rest > /rest\n' }),
    misses: { 'RUN echo rest > /rest': 'because `RUN echo old > /old`: removed' },
  },
  {
    name: 'USER',
    files: { Dockerfile: 'FROM busybox\nRUN id > /tmp/id\n' },
    edit: (context) => writeFiles(context, { Dockerfile: 'FROM busybox\nUSER 1000\nRUN id > /tmp/id\n' }),
    misses: { 'RUN id > /tmp/id': 'user none → 1000' },
  },
  {
    name: 'WORKDIR',
    files: { Dockerfile: 'FROM busybox\nWORKDIR /a\nRUN pwd > /pwd\n' },
    edit: (context) => writeFiles(context, { Dockerfile: 'FROM busybox\nWORKDIR /b\nRUN pwd > /pwd\n' }),
    misses: { 'WORKDIR /b': 'directory /a → /b', 'RUN pwd > /pwd': 'directory /a → /b' },
  },
  {
    name: '--chmod and --chown',
    files: { Dockerfile: 'FROM busybox\nCOPY --chmod=644 --chown=1:2 src /x\n', 'src/a': 'a\n' },
    edit: (context) => writeFiles(context, { Dockerfile: 'FROM busybox\nCOPY --chmod=755 --chown=1:3 src /x\n' }),
    misses: { 'COPY --chmod=755 --chown=1:3 src /x': '--chown 1:2 → 1:3, --chmod 644 → 755' },
  },
  {
    name: 'a destination',
    files: { Dockerfile: 'FROM busybox\nCOPY src /x\n', 'src/a': 'a\n' },
    edit: (context) => writeFiles(context, { Dockerfile: 'FROM busybox\nCOPY src /y\n' }),
    misses: { 'COPY src /y': 'destination /x → /y' },
  },
  {
    name: 'a heredoc that is copied',
    files: { Dockerfile: 'FROM busybox\nCOPY <<conf /etc/\none\nconf\n' },
    edit: (context) => writeFiles(context, { Dockerfile: 'FROM busybox\nCOPY <<conf /etc/\ntwo\nconf\n' }),
    misses: { 'COPY <<conf /etc/': 'heredoc conf: content' },
  },
  {
    name: 'a mount',
    files: { Dockerfile: 'FROM busybox\nRUN --mount=type=cache,target=/c true\n' },
    edit: (context) => writeFiles(context, { Dockerfile: 'FROM busybox\nRUN --mount=type=tmpfs,target=/c true\n' }),
    misses: {
      'RUN --mount=type=tmpfs,target=/c true': 'mount type=tmpfs,target=/c appeared, mount type=cache,target=/c disappeared',
    },
  },
  {
    name: 'a bind mount of the context',
    files: { Dockerfile: 'FROM busybox\nRUN --mount=target=/c cat /c/src/a > /a\n', 'src/a': 'a\n' },
    edit: (context) => writeFiles(context, { 'src/a': 'through a mount\n' }),
    misses: { 'RUN --mount=target=/c cat /c/src/a > /a': '/c/src/a: content' },
  },
  {
    name: '--network',
    files: { Dockerfile: 'FROM busybox\nRUN echo network > /n\n' },
    args: ['--network=none'],
    before: ['--network=host'],
    misses: { 'RUN echo network > /n': 'network host → none' },
  },
  {
    name: 'another base image',
    files: { Dockerfile: 'FROM busybox\nRUN echo base > /b\n' },
    edit: (context) => writeFiles(context, { Dockerfile: 'FROM debian:12\nRUN echo base > /b\n' }),
    misses: { 'RUN echo base > /b': 'base image busybox:latest → debian:12' },
  },
  {
    name: '--no-cache',
    files: { Dockerfile: 'FROM busybox\nRUN echo again > /a\n' },
    args: ['--no-cache'],
    before: [],
    misses: { 'RUN echo again > /a': '--no-cache' },
  },
  {
    name: '--no-cache-filter',
    files: { Dockerfile: 'FROM busybox AS one\nRUN echo first > /a\nFROM one AS two\nRUN echo second > /b\n' },
    args: ['--no-cache-filter=two'],
    misses: { 'RUN echo second > /b': '--no-cache-filter' },
  },
  {
    name: 'a file, where commands are not watched',
    files: { Dockerfile: 'FROM busybox\nCOPY src /src\nRUN cat /src/a > /out\nRUN cat /out > /end\n', 'src/a': 'a\n' },
    before: ['--trace=off'],
    args: ['--trace=off'],
    edit: (context) => writeFiles(context, { 'src/a': 'unwatched\n' }),
    misses: {
      'COPY src /src': 'src/a: content',
      'RUN cat /src/a > /out': 'because `COPY src /src`: src/a: content',
      'RUN cat /out > /end': 'because `COPY src /src`: src/a: content',
    },
  },
  {
    name: 'a file that two commands look at, one above the other',
    files: {
      Dockerfile: 'FROM busybox\nCOPY src /src\nRUN cat /src/a > /below\nRUN cat /below /src/a > /above\n',
      'src/a': 'a\n',
    },
    edit: (context) => writeFiles(context, { 'src/a': 'for both\n' }),
    misses: {
      'COPY src /src': 'src/a: content',
      'RUN cat /src/a > /below': '/src/a: content',
      'RUN cat /below /src/a > /above': 'because `RUN cat /src/a > /below`: /src/a: content',
    },
  },
  {
    name: 'a stage that a COPY takes from',
    files: {
      Dockerfile: 'FROM busybox AS make\nCOPY src /src\nRUN cat /src/* > /out\nFROM busybox\nCOPY --from=make /out /out\n',
      'src/a': 'a\n',
    },
    edit: (context) => writeFiles(context, { 'src/a': 'for the stage\n' }),
    misses: {
      'COPY src /src': 'src/a: content',
      'RUN cat /src/* > /out': '/src/a: content',
      'COPY --from=make /out /out': 'out: content, because `COPY src /src`: src/a: content',
    },
  },
  {
    name: 'what stands at the destination of a COPY',
    files: { Dockerfile: 'FROM busybox\nRUN mkdir /d\nCOPY src /d/\n', 'src/a': 'landing\n' },
    edit: (context) => writeFiles(context, { Dockerfile: 'FROM busybox\nRUN mkdir -m 700 /d\nCOPY src /d/\n' }),
    misses: {
      'RUN mkdir -m 700 /d': 'command `mkdir /d` → `mkdir -m 700 /d`',
      'COPY src /d/': '/d: mode 755 → 700',
    },
  },
  {
    name: 'who a name is at the destination',
    files: { Dockerfile: "FROM busybox\nRUN echo 'u:x:5:5::/:' >> /etc/passwd\nCOPY --chown=u src /d/\n", 'src/a': 'owned\n' },
    edit: (context) =>
      writeFiles(context, { Dockerfile: "FROM busybox\nRUN echo 'u:x:6:6::/:' >> /etc/passwd\nCOPY --chown=u src /d/\n" }),
    misses: {
      "RUN echo 'u:x:6:6::/:' >> /etc/passwd":
        "command `echo 'u:x:5:5::/:' >> /etc/passwd` → `echo 'u:x:6:6::/:' >> /etc/passwd`",
      'COPY --chown=u src /d/': 'user u: 5:5 → 6:6',
    },
  },
];

describe('after an edit, what is executed says what changed:', () => {
  it.each(cases)('$name', async ({ files, edit, before, args = [], misses }) => {
    const context = makeContext(files);
    expect((await build([...(before ?? args), context], { store })).code).toBe(0);
    edit?.(context);
    const second = await build([...args, context], { store });
    expect(second.code).toBe(0);
    expect(missesOf(second)).toEqual(misses);
  });
});

describe('compared with what was built before,', () => {
  const steps = async (...args: string[]) => missesOf(await build(args, { store }));

  it('a base image that has moved is named, with where from and to', async () => {
    const base = makeContext({ Dockerfile: 'FROM busybox\nRUN echo 1 > /base\n' });
    const context = makeContext({ Dockerfile: 'FROM moved-base\nRUN echo on it > /top\n' });
    const one = (await build(['-t', 'moved-base', base], { store })).image?.slice(7, 19);
    await steps(context);
    writeFiles(base, { Dockerfile: 'FROM busybox\nRUN echo 2 > /base\n' });
    const two = (await build(['-t', 'moved-base', base], { store })).image?.slice(7, 19);
    expect(await steps(context)).toEqual({
      'RUN echo on it > /top': `base image moved-base:latest moved from ${one} to ${two}`,
    });
  });

  it('what was pruned is said to be', async () => {
    const context = makeContext({ Dockerfile: 'FROM busybox\nCOPY a /\nRUN echo pruned > /p\n', a: 'pruned' });
    await steps('-t', 'pruned', context);
    await tbuildOk(['rmi', 'pruned'], { store });
    await tbuildOk(['prune', '--force', '--all'], { store });
    const today = new Date().toISOString().slice(0, 10);
    expect(await steps(context)).toEqual({ 'COPY a /': `pruned on ${today}`, 'RUN echo pruned > /p': `pruned on ${today}` });
  });

  it('the same name in another directory is the same project, another name is another', async () => {
    const files = { Dockerfile: 'FROM busybox\nCOPY . /project\n', a: 'first' };
    await steps('-t', 'project', makeContext(files));
    expect(await steps('-t', 'project', makeContext({ ...files, a: 'second' }))).toEqual({ 'COPY . /project': 'a: content' });
    expect(await steps('-t', 'another', makeContext({ ...files, a: 'third' }))).toEqual({
      'COPY . /project': 'never built here',
    });
  });

  it('an edit that was taken back is no miss, and the next edit is compared with what was built last', async () => {
    const context = makeContext({ Dockerfile: 'FROM busybox\nCOPY . /taken-back\n', a: '1' });
    await steps(context);
    writeFiles(context, { a: '2', b: '2' });
    expect(await steps(context)).toEqual({ 'COPY . /taken-back': 'a: content, b appeared' });
    writeFiles(context, { a: '1' });
    rmSync(path.join(context, 'b'));
    expect(await steps(context)).toEqual({});
    writeFiles(context, { a: '3' });
    expect(await steps(context)).toEqual({ 'COPY . /taken-back': 'a: content' });
  });

  it('what runs again and makes the same stops there', async () => {
    const context = makeContext({
      Dockerfile: 'FROM busybox\nCOPY a /cut\nRUN wc -l < /cut > /lines && rm /cut\nRUN cat /lines > /end\n',
      a: 'x\n',
    });
    await steps(context);
    writeFiles(context, { a: 'y\n' });
    expect(await steps(context)).toEqual({
      'COPY a /cut': 'a: content',
      'RUN wc -l < /cut > /lines && rm /cut': '/cut: content',
    });
  });

  it('a mode that git does not keep is named with the flag that leaves it out', async () => {
    const context = makeContext({ Dockerfile: 'FROM busybox\nCOPY a /modes\n', a: { text: '', mode: 0o644 } });
    await steps(context);
    chmodSync(path.join(context, 'a'), 0o664);
    expect(await steps(context)).toEqual({ 'COPY a /modes': 'a: mode 644 → 664' });
    expect(await tbuildOk(['why'], { store })).toContain('git keeps no such modes: --context-modes=git leaves them out');
  });

  it('files from far away are named by their URL, repositories by their commits', async () => {
    const answers: Record<string, Answer> = { '/f': file('one\n', { etag: '"1"' }) };
    const repositories = makeRepositories();
    const server = await serveHttp({ ...answers, '/git/*': repositories.answer, '/f': (...parts) => answers['/f']?.(...parts) });
    const first = repositories.commit('far', { a: '1' });
    const context = makeContext({ Dockerfile: `FROM busybox\nADD ${server.url}/f /f\nADD ${server.url}/git/far.git /g\n` });
    await steps(context);
    answers['/f'] = file('two\n', { etag: '"2"' });
    const second = repositories.commit('far', { a: '2' });
    expect(await steps(context)).toEqual({
      [`ADD ${server.url}/f /f`]: `${server.url}/f: content`,
      [`ADD ${server.url}/git/far.git /g`]: `${server.url}/git/far.git: commit ${first.slice(0, 12)} → ${second.slice(0, 12)}`,
    });
  });

  it('a stage that was not wanted before is not called new, nor is what follows in a build that broke off', async () => {
    const context = makeContext({
      Dockerfile: 'FROM busybox AS some\nRUN echo some\nFROM some AS rest\nRUN [ -e /b ] || echo rest\nRUN echo end of it\n',
    });
    await steps('--target', 'some', context);
    expect(await steps(context)).toEqual({
      'RUN [ -e /b ] || echo rest': 'never built here',
      'RUN echo end of it': 'never built here',
    });
  });

  it('platforms are told apart', async () => {
    const context = makeContext({ Dockerfile: 'FROM scratch\nCOPY a /\n', a: '1' });
    const platforms = ['--platform', 'linux/amd64,linux/arm64'];
    await steps(...platforms, context);
    writeFiles(context, { a: '2' });
    expect(new Set(Object.values(await steps(...platforms, context)))).toEqual(new Set(['a: content']));
  });

  it('one build after another that failed has its successes to go by', async () => {
    const context = makeContext({ Dockerfile: 'FROM busybox\nCOPY a /fails\nRUN grep ok /fails\n', a: 'ok' });
    await steps(context);
    writeFiles(context, { a: 'no' });
    expect((await build([context], { store })).code).toBe(1);
    expect(await steps(context)).toEqual({ 'RUN grep ok /fails': '/fails: content' });
  });
});

describe('tbuild why --dry-run', () => {
  it('says before a build what it would execute, and changes nothing', async () => {
    const context = makeContext({
      Dockerfile:
        'FROM busybox AS one\nCOPY . /app\nRUN cat /app/used > /out\nRUN cat /app/other > /other\nRUN cat /out > /end\nFROM busybox\nCOPY --from=one /end /\n',
      used: 'used\n',
      other: 'other\n',
    });
    const dryRun = async () => {
      const rows = (await tbuildOk(['why', '--dry-run', '--format=json', context], { store })).trim().split('\n');
      return rows
        .map((row) => JSON.parse(row) as { name: string; how: string; why?: { text: string }; on?: string[] })
        .map(({ name, how, why, on }) => [name.replace(/^\[[^\]]*\] /, ''), how, why?.text ?? on?.join()]);
    };
    expect((await dryRun()).map(([, how]) => how)).toEqual(['would-run', 'would-run', 'depends', 'depends', 'depends']);
    expect((await build([context], { store })).code).toBe(0);
    writeFiles(context, { other: 'edited\n' });
    const before = [...filesOf(store), await tbuildOk(['builds', 'ls', '-q'], { store })];
    expect(await dryRun()).toEqual([
      ['COPY . /app', 'would-run', 'other: content'],
      // It never looked at what changed.
      ['RUN cat /app/used > /out', 'cached', undefined],
      ['RUN cat /app/other > /other', 'would-run', '/app/other: content'],
      ['RUN cat /out > /end', 'depends', 'RUN cat /app/other > /other'],
      ['COPY --from=one /end /', 'depends', 'RUN cat /app/other > /other'],
    ]);
    expect([...filesOf(store), await tbuildOk(['builds', 'ls', '-q'], { store })]).toEqual(before);
    expect(missesOf(await build([context], { store }))).toMatchObject({ 'COPY . /app': 'other: content' });
  });

  it('fetches no image', async () => {
    const context = makeContext({ Dockerfile: 'FROM 127.0.0.1:1/absent\nRUN true\n' });
    const { code, stderr } = await tbuild(['why', '--dry-run', context], { store });
    expect(code).toBe(6);
    expect(stderr).toContain('127.0.0.1:1/absent:latest is not in the store, and a dry run fetches no image');
    expect(stderr).toContain('hint: tbuild pull 127.0.0.1:1/absent');
  });
});

/** Names and times: what a process has while it lives, what is remembered of contexts' files and the records left out. */
function filesOf(root: string): string[] {
  const folders = readdirSync(root).filter(
    (name) => !/^(?:tmp|contexts|tbuild\.db)/.test(name) && statSync(path.join(root, name)).isDirectory(),
  );
  const names = folders.flatMap((folder) => readdirSync(path.join(root, folder)).map((name) => path.join(folder, name)));
  return names.sort().map((name) => `${name} ${statSync(path.join(root, name)).mtimeMs}`);
}
