// What surrounds the command of a RUN: names of hosts, limits, the working directory; and what it says when the command cannot be run.

import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { type Built, build } from '../support/events.ts';
import { errorOf, outputOf } from '../support/output.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild } from '../support/tbuild.ts';

let store: string;
beforeAll(() => {
  store = freshStore();
});

const context = (instructions: string) => makeContext({ Dockerfile: `FROM busybox\n${instructions}\n` });

/** A build of these instructions that must succeed. */
async function run(instructions: string, ...flags: string[]): Promise<Built> {
  const built = await build([...flags, context(instructions)], { store });
  expect(built.code, built.stderr).toBe(0);
  return built;
}

/** What the one RUN prints. */
const printed = async (command: string, ...flags: string[]) => outputOf(await run(`RUN ${command}`, ...flags), 'RUN');

describe('--add-host', () => {
  it('adds names, with IPv6 in brackets and several addresses', async () => {
    const flags = ['--add-host', 'One=10.0.0.1,10.0.0.2', '--add-host', 'six:[fd00::6]', '--add-host=me=host-gateway'];
    expect(await printed('tail -n 4 /etc/hosts', ...flags)).toBe('10.0.0.1\tone\n10.0.0.2\tone\nfd00::6\tsix\n127.0.0.1\tme');
  });

  it('72: name counts in the key, its IP doesn’t', async () => {
    const directory = context('RUN true # hosts');
    const ran = async (...flags: string[]) => (await build([...flags, directory], { store })).ran.length;
    expect(await ran('--add-host=a=10.0.0.1')).toBe(1);
    expect(await ran('--add-host=a=10.0.0.2')).toBe(0);
    expect(await ran('--add-host=b=10.0.0.1')).toBe(1);
    expect(await ran()).toBe(1);
  });
});

describe('limits', () => {
  it('of shared memory, and of what setrlimit limits', async () => {
    const flags = ['--shm-size=3m', '--ulimit', 'nofile=111:222', '--ulimit=core=-1'];
    const command = 'df -k /dev/shm | tail -n 1 | tr -s " " | cut -d " " -f 2; ulimit -n; ulimit -Hn; ulimit -c';
    expect(await printed(command, ...flags)).toBe('3072\n111\n222\nunlimited');
  });

  it('are no part of what a step is', async () => {
    const directory = context('RUN true # limits');
    await build([directory], { store });
    expect((await build(['--ulimit=nofile=99', '--shm-size=1m', directory], { store })).ran).toEqual([]);
  });

  it('that cannot be set are left as they are, which --debug tells', async () => {
    expect(await printed('echo here', '--ulimit=nofile=1000000000')).toBe('here');
    const told = await printed('echo here # debug', '--debug', '--ulimit=nofile=1000000000');
    expect(told).toMatch(/^debug: cannot set Nofile to .*1000000000.*$/m);
  });
});

describe('the host name', () => {
  it('is told by BUILDKIT_SANDBOX_HOSTNAME, and counts in the key', async () => {
    const flag = '--build-arg=BUILDKIT_SANDBOX_HOSTNAME=box';
    expect(await printed('hostname; tail -n 1 /etc/hosts', flag)).toBe('box\n127.0.0.1\tbox');
    const directory = context('RUN true # host name');
    await build([directory], { store });
    expect((await build([flag, directory], { store })).ran).toEqual(['RUN true # host name']);
  });
});

describe('proxies', () => {
  it('73: don’t bust the cache unless ARG declares them', async () => {
    const [plain, declared] = [context('RUN echo $HTTP_PROXY-$http_proxy'), context('ARG HTTP_PROXY\nRUN echo $HTTP_PROXY')];
    const build1 = await build(['--build-arg=HTTP_PROXY=http://one', plain], { store });
    expect(outputOf(build1, 'RUN')).toBe('http://one-http://one');
    expect((await build(['--build-arg=HTTP_PROXY=http://two', plain], { store })).ran).toEqual([]);
    await build(['--build-arg=HTTP_PROXY=http://one', declared], { store });
    expect((await build(['--build-arg=HTTP_PROXY=http://two', declared], { store })).ran).toHaveLength(1);
  });
});

describe('the working directory', () => {
  it('that the image lacks is made the user’s, with what is missing above it, and stays', async () => {
    const built = await run(
      'WORKDIR /a/b\nUSER 12:34\nRUN --mount=type=tmpfs,target=/none true\nUSER 0\nRUN rm -r /a\nUSER 12:34\nRUN pwd\nRUN stat -c "%n %u:%g %a" /a /a/b',
    );
    expect(outputOf(built, 'RUN pwd')).toBe('/a/b');
    expect(outputOf(built, 'RUN stat')).toBe('/a 12:34 755\n/a/b 12:34 755');
  });

  it('in a mount is the mount’s', async () => {
    const built = await run(
      'WORKDIR /m/sub\nUSER 0\nRUN rm -r /m\nRUN --mount=type=tmpfs,target=/m pwd\nWORKDIR /\nRUN ls -d /m 2>&1 || true',
    );
    expect(outputOf(built, 'RUN --mount')).toBe('/m/sub');
    expect(outputOf(built, 'RUN ls')).toContain('No such file');
  });
});

/** Instructions, and code, message and hint of the failure. */
const failures: readonly (readonly [title: string, instructions: string, code: string, message: string, hint?: string])[] = [
  [
    'ends with a code',
    'RUN echo "a" && exit 3',
    'run/exit',
    'process "/bin/sh -c echo \\"a\\" && exit 3" did not complete successfully: exit code: 3',
  ],
  ['is ended by a signal', 'RUN sleep 9 & kill -SEGV $!; wait $!', 'run/exit', 'exit code: 139', 'SIGSEGV'],
  ['is not found by the shell', 'RUN nosuch', 'run/exit', 'exit code: 127', 'was not found'],
  ['may not be executed, says the shell', 'RUN /etc/passwd', 'run/exit', 'exit code: 126', 'could not be executed'],
  ['is not found', 'RUN ["nosuch", "a"]', 'run/command-not-found', 'nosuch is not in the container’s PATH', 'install it'],
  ['does not exist', 'RUN ["/bin/nosuch"]', 'run/command-not-found', '/bin/nosuch does not exist', 'install it'],
  ['may not be executed', 'RUN ["/etc/passwd"]', 'run/command-not-executable', 'is not executable', 'chmod +x /etc/passwd'],
  ['is a directory', 'RUN ["/etc"]', 'run/command-not-executable', '/etc is a directory'],
  [
    'has an interpreter that is not there',
    'COPY --chmod=755 <<EOF /x\n#!/no/such\nEOF\nRUN ["/x"]',
    'run/command-not-found',
    'the interpreter that it names (#! line or ELF loader) is not in the container',
  ],
  [
    'is no program',
    'COPY --chmod=755 <<EOF /x\nrubbish\nEOF\nRUN ["/x"]',
    'run/command-not-executable',
    'neither a program for this machine’s processor nor a script',
    '#!/bin/sh',
  ],
  ['has no shell', 'FROM scratch\nRUN true', 'run/command-not-found', '/bin/sh does not exist', 'this image has no shell'],
  ['is nothing', 'RUN []', 'dockerfile/empty-command', 'invalid exec op with no args'],
  ['holds a zero byte', 'RUN ["a\\u0000b"]', 'dockerfile/zero-byte', '"a\\x00b" holds a zero byte'],
  ['is too long', `RUN : <<EOF\n${`${'x'.repeat(999)}\n`.repeat(140)}EOF`, 'run/arguments-too-long', 'too long', 'COPY <<EOF'],
  [
    'has an environment that is too long',
    `${`ENV a=${'x'.repeat(60_000)}\n`.repeat(1)}${[...Array(50).keys()].map((n) => `ENV a${n}=$a`).join('\n')}\nRUN true`,
    'run/arguments-too-long',
    'too long',
  ],
  [
    'stands in a file',
    'WORKDIR /w\nRUN rmdir /w && touch /w\nRUN true',
    'run/workdir',
    'the working directory /w is no directory',
  ],
  [
    'stands below a file',
    'WORKDIR /w/x\nRUN rm -r /w && touch /w\nRUN true',
    'run/workdir',
    'w/x cannot be made in the container',
  ],
  ['is of no known user', 'USER who:what\nRUN true', 'run/unknown-user', 'unable to find user who'],
  ['is of no known group', 'USER root:what\nRUN true', 'run/unknown-user', 'unable to find group what'],
];

describe('a build fails on a command that', () => {
  it.each(
    failures.map(([title, instructions, code, message, hint = '']) => [title, instructions, code, message, hint] as const),
  )('%s', async (_, instructions, code, message, hint) => {
    const failure = errorOf(await build([context(instructions)], { store }));
    expect(failure?.code).toBe(code);
    expect(failure?.message.replace(/'/g, '’')).toContain(message);
    expect(failure?.hint ?? '').toContain(hint);
    expect(failure?.where).toBeDefined();
  });
});

describe('flags that are wrong', () => {
  it.each([
    [['--add-host', 'x'], 'usage/bad-value', '--add-host takes name=address, not "x"'],
    [['--add-host', 'x=1.2.3'], 'usage/bad-value', '--add-host has no IP address for x: "1.2.3"'],
    [['--add-host', 'a\nb=1.2.3.4'], 'usage/bad-value', '--add-host takes name=address'],
    [['--ulimit', 'nofle=1'], 'usage/bad-value', 'invalid ulimit type: nofle'],
    [['--ulimit', 'nofile=2:1'], 'usage/bad-value', 'the soft limit is above the hard one: 2 > 1'],
    [['--shm-size', 'much'], 'usage/bad-value', '--shm-size takes a size, not "much"'],
    [['--allow', 'network.hots'], 'usage/bad-value', 'unknown entitlement network.hots'],
    [['--cgroup-parent', 'x.slice:'], 'unsupported/limits', 'cgroups through systemd are not supported'],
    [['--resource', 'memroy=1g'], 'usage/bad-value', '--resource takes name=value, not "memroy=1g"'],
    [['--resource', 'memory=much'], 'usage/bad-value', '--resource memory takes a size, not "much"'],
  ])('%s', async (flags, code, says) => {
    const { stderr, code: exit } = await tbuild(['build', ...flags, context('')], { store });
    expect(stderr).toContain(says);
    expect(exit).toBe(code.startsWith('usage') ? 2 : 9);
  });
});

describe('cache mounts', () => {
  /** Two stages that meet in a cache: each waits for the other's file as long as it takes to know that it is not there. */
  const two = (sharing: string) => {
    const mount = `RUN --mount=type=cache,id=${sharing},target=/c,sharing=${sharing}`;
    const wait = (mine: string, theirs: string) =>
      `touch /c/${mine}; for i in $(seq 20); do [ -e /c/${theirs} ] && echo met && break; sleep 0.05; done; ls /c`;
    const stage = (mine: string, theirs: string) => `FROM busybox AS ${mine}\n${mount} : ${sharing}; ${wait(mine, theirs)}`;
    return makeContext({
      Dockerfile: `${stage('a', 'b')}\n${stage('b', 'a')}\nFROM busybox\nCOPY --from=a /bin/sh /x\nCOPY --from=b /bin/sh /y\n`,
    });
  };

  it('74: shared ones meet', async () => {
    const built = await build([two('shared')], { store });
    expect(built.code, built.stderr).toBe(0);
    expect([outputOf(built, 'touch /c/a'), outputOf(built, 'touch /c/b')]).toEqual(['met\na\nb', 'met\na\nb']);
  });

  it('74: locked ones come one after the other, in one directory', async () => {
    const built = await build([two('locked')], { store });
    const both = [outputOf(built, 'touch /c/a'), outputOf(built, 'touch /c/b')];
    expect(both.filter((text) => text.startsWith('met'))).toHaveLength(1);
    expect(both.filter((text) => text.endsWith('a\nb'))).toHaveLength(1);
    expect(built.events).toContainEqual(
      expect.objectContaining({ type: 'status', text: 'waiting for the cache at /c, which another step has to itself' }),
    );
  });

  it('74: private ones have a directory each while both are in use, and the first again later', async () => {
    const built = await build([two('private')], { store });
    expect([outputOf(built, 'touch /c/a'), outputOf(built, 'touch /c/b')]).toEqual(['a', 'b']);
    const later = await printed('--mount=type=cache,id=private,target=/c,sharing=private ls /c');
    expect(later).toMatch(/^[ab]$/);
  });

  it('of one name are one directory in one RUN', async () => {
    const mounts = '--mount=type=cache,id=one,target=/c,sharing=locked --mount=type=cache,id=one,target=/d,sharing=private';
    expect(await printed(`${mounts} touch /c/f && ls /d`)).toBe('f');
  });

  it('71: neither ids nor contents invalidate', async () => {
    const of = (id: string) => context(`RUN --mount=type=cache,target=/c,id=${id} ls /c; touch /c/f # ids`);
    const first = await build([of('id1')], { store });
    const second = await build([of('id2')], { store });
    expect(first.ran).toHaveLength(1);
    expect([second.ran, second.cached.length]).toEqual([[], 1]);
  });
});

describe('secrets', () => {
  it('71: content never invalidates, the id does', async () => {
    const directory = context('RUN --mount=type=secret,id=one cat /run/secrets/one');
    const file = path.join(makeContext({}), 'secret');
    const ran = async (content: string, dockerfile = directory, id = 'one') => {
      writeFileSync(file, content);
      return (await build(['--secret', `id=${id},src=${file}`, dockerfile], { store })).ran.length;
    };
    expect(await ran('x')).toBe(1);
    expect(await ran('y')).toBe(0);
    expect(await ran('y', context('RUN --mount=type=secret,id=two cat /run/secrets/one || true'), 'two')).toBe(1);
    rmSync(file);
  });
});

describe('a secret variable', () => {
  it('with a zero byte is refused, and not told', async () => {
    const file = path.join(makeContext({ secret: 'hu\0sh' }), 'secret');
    const built = await build(['--secret', `id=s,src=${file}`, context('RUN --mount=type=secret,id=s,env=S true')], { store });
    expect(errorOf(built)).toMatchObject({
      code: 'run/secret-value',
      message: expect.stringContaining('the secret s holds a zero byte'),
    });
    expect(built.stderr).not.toMatch(/hu.{0,8}sh/);
  });
});

describe('other mounts', () => {
  it('a tmpfs may be read-only', async () => {
    expect(await printed('--mount=type=tmpfs,target=/t,ro touch /t/f 2>&1 || echo refused')).toContain('refused');
  });

  it('what is written to a bind mount is thrown away', async () => {
    const text =
      'RUN --mount=from=busybox,target=/m,rw touch /m/new && ls /m/new && rm /m/bin/sh\nRUN --mount=from=busybox,target=/m ls /m/new /m/bin/sh 2>&1 || true';
    const built = await run(text);
    expect(outputOf(built, 'touch')).toBe('/m/new');
    expect(outputOf(built, 'RUN --mount=from=busybox,target=/m ls')).toBe('ls: /m/new: No such file or directory\n/m/bin/sh');
  });
});
