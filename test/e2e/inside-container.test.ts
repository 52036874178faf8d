// tbuild inside a container, where CI lives: a privileged one has an overlay for a root and the store on it, with or without loop devices, or a
// volume; other containers may mount nothing. The containers are our own, made by the native binary as any OCI runtime would.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeBaseImages } from '../../setup/base-images.ts';
import { Images } from '../../src/images/store.ts';
import { type LowerLayer, startInRoot } from '../../src/native/with-root.ts';
import type { PresentLayer } from '../../src/snapshots/layers.ts';
import { openWorkplace, type Workplace } from '../../src/snapshots/workplace.ts';
import { emptyStore, freshStore } from '../support/stores.ts';
import { repository, tbuildOk } from '../support/tbuild.ts';

const [busybox, debian] = (await makeBaseImages(() => {})).map(({ layout }) => layout) as [string, string];
const scratch = mkdtempSync(path.join(tmpdir(), 'tbuild-inside-'));
let outside: Workplace;
let debianLayers: LowerLayer[];

beforeAll(async () => {
  const store = emptyStore();
  // Folders: an overlay over images that are mounted from files is as deep as the kernel lets file systems lie over each other.
  await tbuildOk(['load', '--oci-layout', debian, '-t', 'debian'], { store, env: { TBUILD_DRIVER: 'directory' } });
  outside = await openWorkplace(store);
  const image = new Images(outside.store, outside.layers).resolve('debian');
  debianLayers = image.layers
    .flatMap((id) => outside.layers.get(id) ?? [])
    .map((layer) => outside.layers.lower(layer as PresentLayer));
  const app = path.join(scratch, 'app');
  mkdirSync(path.join(app, 'd'), { recursive: true });
  writeFileSync(path.join(app, 'd/greeting'), 'hello\n');
  writeFileSync(path.join(app, 'd/unwanted'), '');
  writeFileSync(
    path.join(app, 'Dockerfile'),
    `FROM busybox
COPY d /d
RUN rm /d/unwanted && mv /d/greeting /d/said && mkdir -m 1770 /made && chown 5:6 /made
RUN true
RUN true
CMD echo run > /written && cat /d/said /written && ls /d && stat -c '%a %u:%g' /made
`,
  );
});
afterAll(async () => {
  await outside?.close();
  rmSync(scratch, { recursive: true, force: true });
});

interface Bind {
  readonly source: string;
  readonly destination: string;
  readonly options: readonly string[];
}

const readOnly = (source: string, destination = source): Bind => ({ source, destination, options: ['rbind', 'ro'] });
const writable = (source: string, destination: string): Bind => ({ source, destination, options: ['rbind'] });

/** Docker's `--privileged --network=host`, without a cgroup of its own. */
async function privileged(script: string, binds: readonly Bind[]): Promise<string> {
  const own = [repository, realpathSync(path.join(repository, 'node_modules')), busybox].map((source) => readOnly(source));
  const all = [...own, readOnly(path.join(scratch, 'app'), '/app'), ...binds];
  const printed = execFileSync('capsh', ['--print'], { encoding: 'utf8' });
  const names = /^Bounding set =(.*)$/m.exec(printed)?.[1]?.toUpperCase().split(',') ?? [];
  const { child, result } = startInRoot(
    {
      scratch: outside.store.path('mnt'),
      layers: debianLayers,
      stub: ['proc', 'sys', 'dev', ...all.map(({ destination }) => destination.slice(1))].map((name) => ({
        path: name,
        type: 'dir',
      })),
      upper: { tmpfs: 1 << 30 },
      files: [],
      mounts: [],
      config: {
        ociVersion: '1.2.0',
        process: {
          args: ['/bin/sh', '-ec', script],
          cwd: '/',
          env: [`PATH=${repository}/bin:/usr/bin:/bin`, 'HOME=/root', 'TBUILD_ROOT=/var/lib/tbuild', `busybox=${busybox}`],
          user: { uid: 0, gid: 0 },
          capabilities: { bounding: names, effective: names, permitted: names },
        },
        root: { path: 'rootfs' },
        mounts: [
          { destination: '/proc', type: 'proc', source: 'proc', options: [] },
          { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [] },
          { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['mode=755'] },
          ...all.map((bind) => ({ type: 'bind', ...bind })),
        ],
        linux: { namespaces: ['mount', 'pid', 'ipc', 'uts'].map((type) => ({ type })) },
      },
      commit: null,
    },
    'inside',
    'pipe',
  );
  const [stdout, stderr, { status }] = await Promise.all([
    text(child.stdout as Readable),
    text(child.stderr as Readable),
    result,
  ]);
  if (status !== 0) throw new Error(`exit status ${status}\n${stdout}${stderr}`);
  return stdout;
}

const buildTwiceAndRun = `
tbuild load -q --oci-layout $busybox -t busybox
tbuild -q -t app /app > /first
tbuild -q -t app /app > /second
cmp /first /second
tbuild run app
tbuild run --read-only app cat /d/said
tbuild fsck
tbuild info --format json > /info
tr -d '\\n' < /info
`;

describe('in a privileged container', () => {
  const devices = writable('/dev', '/dev');
  const volume = writable(path.join(scratch, 'volume'), '/var/lib/tbuild');
  mkdirSync(volume.source);

  test.each([
    {
      where: 'the overlay of its root, with loop devices',
      binds: [devices],
      drivers: ['erofs-loop', 'directory'],
      takesUppers: false,
    },
    { where: 'the overlay of its root, without loop devices', binds: [], drivers: ['directory'], takesUppers: false },
    { where: 'a volume', binds: [volume], drivers: ['erofs', 'directory'], takesUppers: true },
  ])('an application is built and run on $where', async ({ where, binds, drivers, takesUppers }) => {
    const said = await privileged(buildTwiceAndRun, binds);
    const info = JSON.parse(said.slice(said.indexOf('{'))) as {
      driver: { driver: string; loop: boolean; reasons: string[]; takesUppers: boolean };
    };
    console.log(`a store on ${where}: ${info.driver.reasons.join('; ')}`);
    expect(said).toContain('hello\nrun\nsaid\n1770 5:6\nhello\n');
    expect(drivers).toContain(info.driver.loop ? 'erofs-loop' : info.driver.driver);
    expect(info.driver.takesUppers).toBe(takesUppers);
  });

  test('a RUN that wants more than memory has is told where else it could write, every time', async () => {
    const script = `
tbuild load -q --oci-layout $busybox -t busybox
printf 'FROM busybox\\nRUN dd if=/dev/zero of=/large bs=1M count=100\\n' > /Dockerfile
printf 'MemAvailable: 40000 kB\\n' > /meminfo
mount --bind /meminfo /proc/meminfo
for time in 1 2; do tbuild -q -t app -f /Dockerfile /app 2>&1 || echo "exit status $?"; done
umount /proc/meminfo
tbuild -q -t app -f /Dockerfile /app
`;
    const lines = (await privileged(script, [])).trim().split('\n');
    const errors = lines.filter((line) => line.startsWith('error'));
    expect(errors.length).toBe(2);
    for (const error of errors)
      expect(error).toMatch(/overlayfs takes no upper there .* move the store to a local disk \(TBUILD_ROOT/);
    expect(lines.filter((line) => line === 'exit status 9').length).toBe(2);
    expect(lines.at(-1)).toMatch(/^sha256:/);
  });
});

describe('where nothing may be mounted', () => {
  const build = [path.join(repository, 'bin/tbuild'), '--progress=plain', '-t', 'app', path.join(scratch, 'app')];

  describe.each([
    {
      where: 'without CAP_SYS_ADMIN',
      command: ['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-all'],
      advice: 'run tbuild as root',
    },
    {
      where: 'where no more namespaces are allowed',
      command: [
        'unshare',
        '--user',
        '--map-root-user',
        'sh',
        '-c',
        'echo 0 > /proc/sys/user/max_mnt_namespaces; exec "$@"',
        'sh',
      ],
      advice: 'raise the limits in /proc/sys/user',
    },
  ])('$where', ({ command, advice }) => {
    test.each([
      { what: 'a new store', storeOf: emptyStore },
      { what: 'a RUN', storeOf: freshStore },
    ])('$what says what to do', ({ storeOf }) => {
      const [program = '', ...args] = [...command, ...build];
      const { status, stderr } = spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, TBUILD_ROOT: storeOf() } });
      expect(stderr).toContain(advice);
      expect(status).toBe(9);
    });
  });
});
