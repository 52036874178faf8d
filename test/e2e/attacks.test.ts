// Attacks by Dockerfiles, images and contexts that have worked on other builders, tried through the command. Those on the runtime itself are
// tests of runner-native. Each begins with the attack and, where that can be shown, tries it on what is not protected.

import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Entry, tarOf } from '../support/archives.ts';
import { makeContext } from '../support/contexts.ts';
import { type Built, build } from '../support/events.ts';
import { errorOf, outputOf } from '../support/output.ts';
import { emptyStore, freshStore } from '../support/stores.ts';
import { tbuild } from '../support/tbuild.ts';

let store: string;
beforeAll(() => {
  store = freshStore();
});

const dockerfile = (text: string, more: Parameters<typeof makeContext>[0] = {}) => makeContext({ ...more, Dockerfile: text });
const on = (instructions: string) => dockerfile(`FROM busybox\n${instructions}\n`);

async function built(context: string, ...flags: string[]): Promise<Built> {
  const result = await build([...flags, context], { store });
  expect(result.code, result.stderr).toBe(0);
  return result;
}

/** Of the host, with a file in it, which nobody inside may find or change. */
function outside(): string {
  const directory = makeContext({ 'marker-of-the-host': 'host\n' });
  mkdirSync(path.join(directory, 'empty'));
  chmodSync(directory, 0o755);
  return directory;
}

const isUntouched = (directory: string) => readdirSync(directory).sort().join() === 'empty,marker-of-the-host';

const MODES = [[], ['--userns=host']];

describe('devices', () => {
  const NODES: readonly Entry[] = [
    { name: 'kvm', type: 'character-device', devmajor: 10, devminor: 232 },
    { name: 'loop-control', type: 'character-device', devmajor: 10, devminor: 237 },
    { name: 'loop0', type: 'block-device', devmajor: 7, devminor: 0 },
    { name: 'mem', type: 'character-device', devmajor: 1, devminor: 1 },
    { name: 'zero', type: 'character-device', devmajor: 1, devminor: 5 },
  ];
  const TRY = (directory: string) =>
    `for f in ${directory}/*; do if (: <$f) 2>/dev/null; then echo opened $f; fi; done; echo end`;

  it('of an image cannot be opened, in whatever user namespace, wherever they are mounted', async () => {
    // A layer brings nodes that anyone may open: of the kernel's virtual machines, loop devices, memory; `zero` opens where anything does.
    const context = dockerfile(
      `FROM busybox AS nodes\nADD nodes.tar /nodes/\nFROM nodes\nRUN --mount=type=bind,from=nodes,source=/nodes,target=/b \
      --mount=type=bind,from=nodes,source=/nodes,target=/w,rw --mount=type=cache,from=nodes,source=/nodes,target=/c,id=nodes \
      ls /nodes /b /w /c >/dev/null && cp -a /nodes /copies && ${TRY('/nodes')} && ${TRY('/b')} && ${TRY('/w')} && ${TRY('/c')} && ${TRY('/copies')}`.replaceAll(
        ' && cp -a /nodes /copies',
        ' && { cp -a /nodes /copies 2>/dev/null || true; }',
      ),
    );
    writeFileSync(path.join(context, 'nodes.tar'), await tarOf(NODES.map((node) => ({ ...node, mode: 0o666 }))));
    const volume = makeContext({});
    chmodSync(volume, 0o755);
    for (const [name, type, ...numbers] of [
      ['zero', 'c', '1', '5'],
      ['kvm', 'c', '10', '232'],
    ] as const) {
      execFileSync('mknod', ['-m', '666', path.join(volume, name), type, ...numbers]);
    }
    for (const flags of MODES) {
      expect(outputOf(await built(context, '-t', 'nodes', ...flags), 'RUN').replaceAll('end\n', '')).toBe('end');
      const { stdout } = await tbuild(
        ['run', '--rm', ...flags, '-v', `${volume}:/v`, 'nodes', 'sh', '-c', `${TRY('/nodes')}; ${TRY('/v')}`],
        { store },
      );
      expect(stdout).toBe('end\nend\n');
    }
    // The power of it: on a mount that is not protected it opens.
    expect(spawnSync('sh', ['-c', TRY(volume)]).stdout.toString()).toContain(`opened ${volume}/zero`);
  });

  it('that a container makes cannot be opened on any mount that it has', async () => {
    // With CAP_MKNOD, which Docker's containers have, a node is made in each mount in turn.
    const everywhere =
      'while read _ at _; do n=$at/node; if mknod $n c 1 5 2>/dev/null; then echo made $at; (: <$n) 2>/dev/null && echo opened $at; rm $n; fi; done </proc/mounts; echo end';
    const mounts = '--mount=type=tmpfs,target=/t --mount=type=cache,target=/c --mount=type=bind,from=busybox,target=/b,rw';
    const lines = outputOf(await built(on(`RUN ${mounts} ${everywhere}`), '--userns=host'), 'RUN');
    expect(lines).not.toContain('opened');
    for (const at of ['/', '/dev', '/dev/shm', '/t', '/c', '/b']) expect(lines.split('\n')).toContain(`made ${at}`);
    expect(outputOf(await built(on(`RUN ${mounts} ${everywhere}`)), 'RUN')).toBe('end');
    const { stdout } = await tbuild(
      ['run', '--rm', '--userns=host', '-v', `${outside()}:/v`, 'busybox', 'sh', '-c', everywhere],
      {
        store,
      },
    );
    expect(stdout).toContain('made /v\n');
    expect(stdout).not.toContain('opened');
  });

  it('below a volume stay closed, and what is read-only stays so, where file systems are mounted in it', async () => {
    // A volume brings what is mounted below it: the host's /dev in its root.
    const script =
      '(: </host/dev/zero) && echo opened; (: </dev/zero) && echo own; touch /host/dev/shm/new && echo written; ls -d /host/dev/shm';
    const { stdout } = await tbuild(['run', '--rm', '--userns=host', '-v', '/:/host:ro', 'busybox', 'sh', '-c', script], {
      store,
    });
    expect(stdout).toBe('own\n/host/dev/shm\n');
  });
});

describe('descriptors', () => {
  it('of what starts a container lead nowhere', async () => {
    // CVE-2024-21626: the working directory, or the path of the command, begins at a descriptor that the runtime has open.
    const host = outside();
    writeFileSync(path.join(host, 'marker-of-the-host'), '#!/bin/sh\necho out\n');
    chmodSync(path.join(host, 'marker-of-the-host'), 0o755);
    const paths = [...Array(40).keys()].map((n) => `/proc/self/fd/${n + 3}/${'../'.repeat(40)}${host}`).join(':');
    for (const flags of MODES) {
      const failed = await build([...flags, on(`ENV PATH=${paths}\nRUN ["marker-of-the-host"]`)], { store });
      expect(errorOf(failed)?.code, failed.stderr).toBe('run/command-not-found');
      const ran = await tbuild(['run', '--rm', ...flags, '-e', `PATH=${paths}`, 'busybox', 'marker-of-the-host'], { store });
      expect([ran.code, ran.stdout]).toEqual([127, '']);
      for (const number of [3, 5, 7, 8, 9, 10, 11, 12]) {
        const text = `WORKDIR /proc/self/fd/${number}\nRUN ls ${'../'.repeat(20)}${host}`;
        const { code } = await build([...flags, on(text)], { store });
        expect([1, 8], text).toContain(code);
      }
    }
  });
});

describe('mounts of RUN', () => {
  const LINKS = 'ln -s / /top && ln -s ../../../../../../.. /up && ln -s /proc/self/root /magic && ln -s /proc/1/cwd /magic2';

  it('from a stage or the context stay in it, whatever links their source goes through', async () => {
    // CVE-2024-1753, CVE-2024-11218, CVE-2024-23651: the source of a bind mount is, or goes through, a link to the host's root.
    const host = outside();
    for (const link of ['top', 'up', 'magic', 'magic2']) {
      for (const kind of ['type=bind', 'type=bind,rw', 'type=cache']) {
        const mount = `--mount=${kind},from=evil,source=/${link}${host},target=/m`;
        const result = await build(
          [dockerfile(`FROM busybox AS evil\nRUN ${LINKS}\nFROM busybox\nRUN ${mount} touch /m/new; ls /m`)],
          { store },
        );
        expect(errorOf(result), `${kind} ${link}`).toMatchObject({ code: 'context/not-found' });
      }
    }
    const context = dockerfile('FROM busybox\nRUN --mount=source=link,target=/m ls /m', { link: { link: host } });
    expect((await build([context], { store })).code).not.toBe(0);
    const root = dockerfile('FROM busybox\nRUN --mount=source=top,target=/m ls /m', { top: { link: '/' }, 'of-the-context': '' });
    expect(outputOf(await built(root), 'RUN')).toContain('of-the-context');
    expect(isUntouched(host)).toBe(true);
  });

  it('go to no place outside, whatever links their target goes through', async () => {
    // The same from the other side: the image has links where something is to be mounted.
    const host = outside();
    const into = ['type=tmpfs', 'type=cache', 'type=bind,from=busybox', 'type=secret,id=s', 'type=ssh'].map(
      (kind) => `--mount=${kind}`,
    );
    const instructions = into.map(
      (mount, place) => `RUN ${mount},target=/out/m${place} ls /out; test ! -e /out/marker-of-the-host`,
    );
    await built(on(`RUN ln -s ${'../'.repeat(20)}${host} /out\n${instructions.join('\n')}`));
    expect(isUntouched(host)).toBe(true);
  });

  it('have no other options than those that they have', async () => {
    // CVE-2024-9407: an option that is not looked at is handed on to mount(2).
    for (const option of ['bind-propagation=shared', 'options=suid', 'dev', 'rw,suid', 'consistency=cached,exec']) {
      expect((await build([on(`RUN --mount=type=bind,from=busybox,target=/m,${option} true`)], { store })).code, option).toBe(3);
    }
  });

  it('of caches have their ids for names, not for paths', async () => {
    // CVE-2024-9675: the id of a cache mount climbs out of the directory where caches are.
    const host = outside();
    for (const id of [`${'../'.repeat(20)}${host}`, host, '..', '.', 'a/b', 'x'.repeat(5000)]) {
      await built(on(`RUN --mount=type=cache,id=${id},target=/c touch /c/new`));
    }
    expect(isUntouched(host)).toBe(true);
    const { folders, others } = Object.groupBy(readdirSync(path.join(store, 'mounts')), (name) =>
      /^[0-9a-f]{64}(\.lock)?$/.test(name) ? 'folders' : 'others',
    );
    expect([others, (folders?.length ?? 0) > 0]).toEqual([undefined, true]);
  });

  it('leave no mount point that removing it would remove something outside', async () => {
    // CVE-2024-23652: what was made to mount on is removed after the command, which has put a link to the host above it.
    const host = outside();
    const swap = `mv /x/y /x/was; ln -s ${host} /x/y; ls -d /x/y/empty; true`;
    const text = `RUN mkdir -p /x\nRUN rm -r /x\nRUN --mount=type=tmpfs,target=/x/y/empty ${swap}\nRUN ls -l /x`;
    expect(outputOf(await built(on(text), '--userns=host'), 'ls -l /x')).toContain(`y -> ${host}`);
    expect(isUntouched(host)).toBe(true);
  });
});

describe('an output directory', () => {
  it('gets nothing by way of links that an output before has left in it', async () => {
    // As with CVE-2018-15664 and its like: what is written follows a link that the image has put there.
    const host = outside();
    const out = makeContext({});
    for (const kind of ['local', 'local,mode=delete']) {
      const write = (text: string) =>
        build(['-o', `type=${kind},dest=out`, dockerfile(`FROM scratch\n${text}\n`, { 'links/d': { link: host }, f: 'f' })], {
          store,
          cwd: out,
        });
      expect((await write('COPY links /')).code).toBe(0);
      expect(lstatSync(path.join(out, 'out/d')).isSymbolicLink()).toBe(true);
      await write('COPY f /d/marker-of-the-host');
      await write('COPY f /d/empty/new');
      await write('COPY f /d/new');
      expect(isUntouched(host), kind).toBe(true);
      expect([readFileSync(path.join(host, 'marker-of-the-host'), 'utf8'), readdirSync(path.join(host, 'empty'))]).toEqual([
        'host\n',
        [],
      ]);
    }
  });
});

describe('an image’s accounts', () => {
  const who = 'RUN id -u; grep CapEff /proc/self/status';

  it('are never root by a number that wraps', async () => {
    // CVE-2024-40635: a uid beyond what there is becomes root's, as -1 means to the kernel that it stays as it is.
    const wraps = ['4294967295', '4294967296', '-1', '18446744073709551616', '0x0', '0:4294967295'];
    for (const flags of MODES) {
      for (const user of wraps) {
        expect(errorOf(await build([...flags, on(`USER ${user}\n${who}`)], { store }))?.code, user).toBe('run/unknown-user');
        expect((await tbuild(['run', '--rm', ...flags, '--user', user, 'busybox', 'id'], { store })).code, user).toBe(125);
      }
    }
    const passwd = on('RUN echo "who:x:4294967295:0::/:/bin/sh" >>/etc/passwd\nUSER who\nRUN id');
    expect(errorOf(await build([passwd], { store }))?.code).toBe('run/unknown-user');
  });

  it('leave a user no way to drop a group that keeps its members out', async () => {
    // CVE-2022-36109: the first group is not among the further ones, and a set-group-id program is without it.
    const look = 'grep ^Groups: /proc/self/status | tr -s "\\t " " "';
    expect(outputOf(await built(on(`USER 5:6\nRUN ${look}`)), 'RUN').trim()).toBe('Groups: 6');
    const { stdout } = await tbuild(['run', '--rm', '--user', '5:6', 'busybox', 'sh', '-c', look], { store });
    expect(stdout.trim()).toBe('Groups: 6');
  });

  it('may be anything but what is waited for, or read to the end', async () => {
    // The image's passwd is a FIFO, a device, a link out, a directory, a link to itself, and a file of 256 MiB.
    const files = [
      'rm /etc/passwd /etc/group; mkfifo /etc/passwd /etc/group',
      'ln -sf /dev/zero /etc/passwd',
      `ln -sf ${outside()}/marker-of-the-host /etc/passwd`,
      'rm /etc/passwd; mkdir /etc/passwd',
      'rm /etc/passwd; ln -s passwd /etc/passwd',
      'truncate -s 256M /etc/passwd',
    ];
    for (const file of files) {
      const failed = await build([on(`RUN ${file}\nUSER nosuch\nRUN true`)], { store, timeoutMs: 60_000 });
      expect(errorOf(failed)?.code, `${file}: ${failed.stderr}`).toBe('run/unknown-user');
    }
  });
});

describe('a store', () => {
  it('is closed to other users of the machine', async () => {
    // CVE-2021-41091, CVE-2021-41103: a user of the machine executes a setuid program of an image, or reads secrets, where layers are kept.
    const root = path.join(emptyStore(), 'store');
    chmodSync(path.dirname(root), 0o755);
    const built = await build([dockerfile('FROM scratch\nCOPY f /\n', { f: '' })], { store: root });
    expect(built.code, built.stderr).toBe(0);
    const others = spawnSync('setpriv', [
      '--reuid=65534',
      '--regid=65534',
      '--clear-groups',
      'ls',
      root,
      path.join(root, 'layers'),
    ]);
    expect([others.stdout.toString(), others.status]).toEqual(['', 2]);
    expect(statSync(root).mode & 0o77).toBe(0);
    expect(statSync(path.join(root, 'tbuild.db')).mode & 0o77).toBe(0);
    expect(existsSync(path.join(root, 'version'))).toBe(true);
  });
});
