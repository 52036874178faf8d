// Files of containers: cp by docker's rules, both ways, running or not, and that no link of a container leads to a file of this machine.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Container, Containers } from '../../src/containers/containers.ts';
import { copyIn, copyOut } from '../../src/containers/files/copy.ts';
import { rootSpec } from '../../src/containers/root-spec.ts';
import type { ContainerMount, ContainerSpec } from '../../src/containers/spec.ts';
import { mountVolume } from '../../src/containers/volumes/mount-volume.ts';
import { control, type MonitorSpec, startMonitor } from '../../src/native/monitor.ts';
import { openWorkplace, type Workplace } from '../../src/snapshots/workplace.ts';
import { plainSpec } from '../support/container-spec.ts';
import { makeContext } from '../support/contexts.ts';
import { build } from '../support/events.ts';
import { isRoot } from '../support/own-files.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

const app = {
  Dockerfile: [
    'FROM busybox',
    'RUN mkdir -p /dir/sub /empty && echo one > /dir/one && echo two > /dir/sub/two && echo file > /file && chmod 640 /file && chown 7:8 /file \\',
    ' && ln -s /dir /link && ln -s /etc/shadow /shadow && ln -s ../../../../../../etc /up && ln -s /nowhere/x /dangling && mkfifo /fifo \\',
    ' && ln /dir/one /dir/hard && ln -s one /dir/soft && echo secret > /etc/shadow && cp /bin/true /setuid && chmod 4755 /setuid',
    'VOLUME /data',
  ].join('\n'),
};

let store: string;
let place: Workplace;
let layers: readonly string[];
let image: string;
let work: string;
const base = mkdtempSync(path.join(tmpdir(), 'tbuild-container-files-'));
const at = (...parts: string[]) => path.join(work, ...parts);

beforeAll(async () => {
  store = freshStore();
  await build([makeContext(app), '-t', 'app'], { store });
  place = await openWorkplace(store);
  const sql = "SELECT id, layers FROM images WHERE id = (SELECT image FROM names WHERE name LIKE '%/app:%')";
  const row = place.store.db.get<{ id: string; layers: string }>(sql);
  [image, layers] = [row!.id, JSON.parse(row!.layers) as string[]];
});
afterAll(async () => {
  for (const container of containers) await stop(container);
  await place.close();
  rmSync(base, { recursive: true });
});
beforeEach(() => {
  work = mkdtempSync(path.join(base, 'work-'));
});

const containers: Container[] = [];
async function create(name: string, more: Partial<ContainerSpec> = {}): Promise<Container> {
  const spec = plainSpec({ image: { name: 'app', id: image }, layers, cmd: ['sleep', '1000'], ...more });
  const container = await new Containers(place).create(spec, name);
  containers.push(container);
  return container;
}

async function start(container: Container): Promise<void> {
  const { id, spec, directory } = container;
  const what: MonitorSpec = {
    id,
    root: await rootSpec(place, spec, { id, directory }),
    openStdin: false,
    log: null,
    restart: { policy: 'no', maximumRetries: 0 },
    stop: { signal: 'SIGKILL', timeoutMs: 0 },
    health: null,
    network: null,
    removeAtEnd: false,
  };
  writeFileSync(path.join(directory, 'monitor.json'), JSON.stringify(what));
  await startMonitor(directory);
}

/** By a process of its own: it runs from then on, or has stopped again. */
async function change(container: Container, script: string, staysRunning: boolean): Promise<void> {
  const own = { ...container, spec: { ...container.spec, cmd: ['sh', '-c', `${script}; touch /dev/shm/done; exec sleep 1000`] } };
  await start(own);
  const done = `/proc/${own.state().pid}/root/dev/shm/done`;
  await vi.waitFor(() => expect(existsSync(done)).toBe(true), { timeout: 20_000 });
  if (!staysRunning) await stop(own);
}

const byPath = (a: string, b: string): number => (a.slice(2) < b.slice(2) ? -1 : 1);

async function stop({ directory, state }: Container): Promise<void> {
  if (state().status === 'running') await control(directory, { op: 'stop', signal: 'SIGKILL', timeoutMs: 0 });
}

const how = { followsLink: false, isArchive: false };
const volume: ContainerMount = {
  type: 'volume',
  name: 'kept',
  isAnonymous: false,
  target: '/data',
  readonly: false,
  noCopy: false,
};
const withMounts = async (name: string): Promise<Container> => {
  mkdirSync(at('host'));
  writeFileSync(at('host/file'), 'of the host');
  await mountVolume(place, volume, { id: 'x', spec: { layers } });
  const bind = {
    type: 'bind',
    source: at('host'),
    target: '/host',
    readonly: false,
    propagation: 'rprivate',
    nonRecursive: false,
    makesSource: false,
  } as const;
  return create(name, { mounts: [volume, bind], userns: 'host', network: { mode: 'none', networks: [] } });
};

describe.each(['stopped', 'running'] as const)('a %s container', (state) => {
  let box: Container;
  beforeAll(async () => {
    work = mkdtempSync(path.join(base, 'mounts-'));
    box = await create(state, { network: { mode: 'none', networks: [] } });
    if (state === 'running') await start(box);
  });

  /** docs.docker.com, "docker container cp": what SRC is, what DEST is, and what becomes of it. */
  test.each([
    ['a file to a name that is not there', '/dir/one', 'new', { new: 'one\n' }],
    ['a file to a directory that is not there', '/dir/one', 'new/', 'no such directory'],
    ['a file over a file', '/dir/one', 'file', { file: 'one\n' }],
    ['a file into a directory', '/dir/one', 'dir', { 'dir/one': 'one\n', 'dir/old': 'old' }],
    ['a directory to a name that is not there', '/dir', 'new', { 'new/one': 'one\n', 'new/sub/two': 'two\n' }],
    ['a directory over a file', '/dir', 'file', 'cannot copy directory'],
    ['a directory into a directory', '/dir', 'dir', { 'dir/dir/one': 'one\n', 'dir/old': 'old' }],
    [
      'what a directory holds into a directory',
      '/dir/.',
      'dir',
      { 'dir/one': 'one\n', 'dir/sub/two': 'two\n', 'dir/old': 'old' },
    ],
    ['what a directory holds to a name that is not there', '/dir/.', 'new', { 'new/one': 'one\n' }],
    ['a directory with a slash', '/dir/', 'dir', { 'dir/dir/one': 'one\n' }],
    ['a file with a slash', '/file/', 'dir', 'not a directory'],
    ['through a link', '/link/one', 'dir', { 'dir/one': 'one\n' }],
    ['a link to a directory with a slash', '/link/', 'dir', { 'dir/link/one': 'one\n' }],
    ['what is not there', '/none', 'dir', 'Could not find the file /none in container'],
    ['into what is not there', '/file', 'none/new', 'invalid output path: directory'],
    ['from a relative path', 'dir/one', 'dir', { 'dir/one': 'one\n' }],
    ['from above the root', '/../../dir/one', 'dir', { 'dir/one': 'one\n' }],
  ])('gives %s', async (_, source, destination, expected) => {
    mkdirSync(at('dir'));
    writeFileSync(at('dir/old'), 'old');
    writeFileSync(at('file'), 'file');
    const copying = copyOut(place, box, source, at() + (destination.startsWith('/') ? '' : '/') + destination, how);
    if (typeof expected === 'string') return expect(copying).rejects.toThrow(expected);
    await copying;
    for (const [name, content] of Object.entries(expected)) expect(readFileSync(at(name), 'utf8'), name).toBe(content);
  });

  test('gives links as they are, and with -L what they lead to, inside of it', async () => {
    await copyOut(place, box, '/link', at('link'), how);
    expect(readlinkSync(at('link'))).toBe('/dir');
    await copyOut(place, box, '/link', at('followed'), { followsLink: true });
    expect(readFileSync(at('followed/one'), 'utf8')).toBe('one\n');
    await copyOut(place, box, '/dir/.', at('all'), how);
    expect(lstatSync(at('all/one')).ino).toBe(lstatSync(at('all/hard')).ino);
    expect(readlinkSync(at('all/soft'))).toBe('one');
  });

  test.each(['/shadow', '/up/shadow'])('has its own file behind %s', async (name) => {
    await copyOut(place, box, name, at('got'), { followsLink: true });
    expect(readFileSync(at('got'), 'utf8')).toBe('secret\n');
  });

  test('gives modes, but no right that its owner had', async () => {
    await copyOut(place, box, '/file', at('file'), how);
    await copyOut(place, box, '/setuid', at('setuid'), how);
    expect(statSync(at('file')).mode & 0o7777).toBe(0o640);
    expect(statSync(at('file')).uid).toBe(process.getuid?.());
    expect(statSync(at('setuid')).mode & 0o7000).toBe(0);
    await copyOut(place, box, '/fifo', at('fifo'), how);
    expect(lstatSync(at('fifo')).isFIFO()).toBe(true);
  });

  test('takes files by the same rules', async () => {
    mkdirSync(at('tree/deep'), { recursive: true });
    writeFileSync(at('tree/deep/new'), 'new');
    symlinkSync('/etc/passwd', at('tree/link'));
    const back = async (name: string) => {
      const to = at(`back${Math.random()}`);
      await copyOut(place, box, name, to, how);
      return statSync(to).isDirectory() ? readdirSync(to).sort() : readFileSync(to, 'utf8');
    };
    await copyIn(place, box, at('tree'), '/empty', how);
    expect(await back('/empty/tree')).toEqual(['deep', 'link']);
    await copyIn(place, box, `${at('tree')}/.`, '/empty', how);
    expect(await back('/empty')).toEqual(['deep', 'link', 'tree']);
    await copyIn(place, box, at('tree/deep/new'), '/empty/name', how);
    expect(await back('/empty/name')).toBe('new');
    await copyIn(place, box, at('tree/deep/new'), '/link', how);
    expect(await back('/dir/new')).toBe('new');
    await expect(copyIn(place, box, at('tree'), '/file', how)).rejects.toThrow('cannot copy directory');
    await expect(copyIn(place, box, at('tree'), '/none/at/all', how)).rejects.toThrow(
      'Could not find the file /none/at in container',
    );
    await expect(copyIn(place, box, at('none'), '/', how)).rejects.toThrow(`lstat ${at('none')}: no such file or directory`);
    await expect(copyIn(place, box, at('tree/deep/new'), '/fifo', how)).rejects.toThrow('must be a directory or a regular file');
    await copyIn(place, box, at('tree/deep/new'), '/shadow', how);
    expect(await back('/etc/shadow')).toBe('new');
    if (isRoot) expect(readFileSync('/etc/shadow', 'utf8')).not.toBe('new');
    mkdirSync(at('names'));
    writeFileSync(at('names/dir'), 'x');
    await expect(copyIn(place, box, `${at('names')}/.`, '/', how)).rejects.toThrow('cannot overwrite directory');
  });

  test.runIf(isRoot)('has files of whose they were, and with -a of its user', async () => {
    writeFileSync(at('mine'), 'x');
    execFileSync('chown', ['1234:567', at('mine')]);
    const owner = async (name: string) => {
      const tar = await tbuild(['cp', `${box.name}:${name}`, '-'], { store });
      writeFileSync(at('tar'), tar.stdout);
      return execFileSync('tar', ['--numeric-owner', '-tvf', at('tar')], { encoding: 'utf8' }).split(/ +/)[1];
    };
    await copyIn(place, box, at('mine'), '/empty/mine', how);
    expect(await owner('/empty/mine')).toBe('1234/567');
    await copyIn(place, box, at('mine'), '/empty/mine', { ...how, isArchive: true });
    expect(await owner('/empty/mine')).toBe('0/0');
    expect(await owner('/file')).toBe('7/8');
  });

  test('gives and takes tars', async () => {
    const said = await tbuild(['cp', `${box.name}:/dir`, '-'], { store });
    writeFileSync(at('out.tar'), said.stdout);
    expect(execFileSync('tar', ['-tf', at('out.tar')], { encoding: 'utf8' })).toMatch(/^dir\/\ndir\/hard\n/);
    mkdirSync(at('in'));
    writeFileSync(at('in/from-tar'), 'x');
    execFileSync('tar', ['-czf', at('in.tar.gz'), '-C', at('in'), 'from-tar']);
    const input = readFileSync(at('in.tar.gz'));
    await tbuildOk(['cp', '-', `${box.name}:/empty`], { store, input });
    await tbuildOk(['cp', `${box.name}:/empty/from-tar`, at('again')], { store });
    expect(readFileSync(at('again'), 'utf8')).toBe('x');
    expect((await tbuild(['cp', '-', `${box.name}:/file`], { store, input })).stderr).toContain('must be a directory');
    expect((await tbuild(['cp', '-', `${box.name}:/empty`], { store, input: 'no tar at all' })).code).not.toBe(0);
  });

  test('shows and takes what is in its volumes and directories', async () => {
    const mounted = await withMounts(`${state}-mounted`);
    if (state === 'running') await start(mounted);
    await copyOut(place, mounted, '/host/file', at('got'), how);
    expect(readFileSync(at('got'), 'utf8')).toBe('of the host');
    writeFileSync(at('new'), 'new');
    await copyIn(place, mounted, at('new'), '/data/new', how);
    await copyIn(place, mounted, at('new'), '/host', how);
    expect(readFileSync(place.store.path('volumes/kept/_data/new'), 'utf8')).toBe('new');
    expect(readFileSync(at('host/new'), 'utf8')).toBe('new');
    if (existsSync(path.join(mounted.directory, 'upper/data')))
      expect(readdirSync(path.join(mounted.directory, 'upper/data'))).toEqual([]);
  });

  test('says what it has changed, in docker’s letters', async () => {
    const own = await create(`diff-${state}`, { network: { mode: 'none', networks: [] } });
    expect(await tbuildOk(['diff', own.name], { store })).toBe('');
    const script =
      'echo x >> /file; rm /dir/sub/two; rm -r /empty; mkdir /empty; echo y > /empty/y; touch /new; rm -r /etc/network; mkdir /etc/network';
    await change(own, script, state === 'running');
    const said = (await tbuildOk(['diff', own.name], { store }))
      .split('\n')
      .filter((line) => line !== '' && !/ \/(dev|proc|sys|data)/.test(line));
    expect(said.filter((line) => line.includes('/etc/network/'))).toEqual(
      said.filter((line) => line.startsWith('D /etc/network/')),
    );
    expect(said.filter((line) => !line.includes('/etc'))).toEqual(
      ['C /dir', 'C /dir/sub', 'D /dir/sub/two', 'A /empty/y', 'C /empty', 'C /file', 'A /new'].sort(byPath),
    );
  });

  test('is exported as it is, without what is mounted in it', async () => {
    const mounted = await create(`export-${state}`, {
      network: { mode: 'none', networks: [] },
      mounts: [{ ...volume, name: 'away' }],
    });
    mkdirSync(place.store.path('volumes/away/_data'), { recursive: true });
    writeFileSync(place.store.path('volumes/away/_data/elsewhere'), 'x');
    await change(mounted, 'rm /dir/one; echo new > /dir/new', state === 'running');
    await tbuildOk(['export', '-o', at('tar'), mounted.name], { store });
    expect(statSync(at('tar')).mode & 0o777).toBe(0o600);
    const names = execFileSync('tar', ['-tf', at('tar')], { encoding: 'utf8' }).split('\n');
    expect(names).toEqual(expect.arrayContaining(['dir/hard', 'dir/new', 'dir/sub/two', 'etc/', 'fifo']));
    expect(names.filter((name) => /^(dir\/one|proc\/.+|sys\/.+|data\/.+)$/.test(name))).toEqual([]);
    const { stdout } = await tbuild(['export', mounted.name], { store });
    expect(stdout.length).toBeGreaterThan(1000);
    expect(readdirSync(work)).toEqual(['tar']);
  });

  test('becomes an image: what it wrote as a layer, its configuration, a line of history', async () => {
    const own = await create(`commit-${state}`, {
      network: { mode: 'none', networks: [] },
      env: ['PATH=/bin', 'A=1'],
      labels: { kept: 'yes' },
      exposed: ['80/tcp'],
      cmd: ['sleep', '1000'],
    });
    await change(own, 'rm -r /dir; echo made > /made; chown 5:6 /made', state === 'running');
    const flags = ['-a', 'me', '-m', 'why', '-c', 'ENV B=$A', '-c', 'CMD ["cat", "/made"]'];
    const id = (await tbuildOk(['commit', ...flags, own.name, `team/made:${state}`], { store })).trim();
    expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(own.state().status).toBe(state === 'running' ? 'running' : 'exited');
    const row = place.store.db.get<{ config: string; layers: string }>('SELECT config, layers FROM images WHERE id = ?', id);
    const config = JSON.parse(row!.config);
    expect(config).toMatchObject({
      author: 'me',
      config: { Env: ['PATH=/bin', 'A=1', 'B=1'], Cmd: ['cat', '/made'], Labels: { kept: 'yes' }, Volumes: { '/data': {} } },
    });
    expect(config.history.at(-1)).toMatchObject({ author: 'me', comment: 'why', created_by: 'sleep 1000' });
    expect(config.rootfs.diff_ids).toHaveLength(layers.length + 1);
    const from = makeContext({ Dockerfile: `FROM team/made:${state}\nRUN test ! -e /dir && [ "$(stat -c %u:%g /made)" = 5:6 ]` });
    await build([from], { store });
    expect(await tbuildOk(['fsck'], { store })).toContain('no problems');
  });

  test('of which there is none is said as docker says it', async () => {
    expect((await tbuild(['cp', 'never:/etc', at('x')], { store })).stderr).toContain('No such container: never');
    expect((await tbuild(['cp', `${box.name}:/a`, `${box.name}:/b`], { store })).stderr).toContain(
      'copying between containers is not supported',
    );
  });
});

describe('a hostile container', () => {
  let hostile: Container;
  beforeAll(async () => {
    work = mkdtempSync(path.join(base, 'hostile-'));
    hostile = await create('hostile', { network: { mode: 'none', networks: [] } });
  });

  /** Until the returned function is called it goes on. */
  const doing = async (script: string): Promise<Container> => {
    await stop(hostile);
    const cmd = ['sh', '-c', `touch /dev/shm/begun; while :; do ${script}; done`];
    await start({ ...hostile, spec: { ...hostile.spec, cmd } });
    const begun = `/proc/${hostile.state().pid}/root/dev/shm/begun`;
    await vi.waitFor(() => expect(existsSync(begun)).toBe(true), { timeout: 20_000 });
    return hostile;
  };

  test('that puts links in the place of directories gives and gets nothing outside of it', async () => {
    mkdirSync(at('host'));
    writeFileSync(at('host/file'), 'of the host');
    const name = at('host');
    await doing(
      `mkdir -p /race/sub; echo own > /race/sub/file; mv /race/sub /race/old; ln -s ${name} /race/sub; ln -s /proc/1/root${name} /race/other; rm -rf /race/old /race/sub /race/other`,
    );
    writeFileSync(at('new'), 'from the host');
    for (let i = 0; i < 25; i++) {
      const to = at(`got${i}`);
      mkdirSync(to);
      await copyOut(place, hostile, '/race/sub/file', `${to}/file`, { followsLink: true }).catch(() => {});
      await copyOut(place, hostile, '/race', to, { followsLink: i % 2 === 0 }).catch(() => {});
      // Node's recursive listing follows links.
      const files = execFileSync('find', [to, '-type', 'f'], { encoding: 'utf8' }).split('\n').slice(0, -1);
      for (const file of files) expect(readFileSync(file, 'utf8'), file).not.toContain('of the host');
      await copyIn(place, hostile, at('new'), '/race/sub/file', how).catch(() => {});
      await copyIn(place, hostile, at('new'), '/race/sub', how).catch(() => {});
    }
    expect(readdirSync(at('host'))).toEqual(['file']);
    expect(readFileSync(at('host/file'), 'utf8')).toBe('of the host');
  });

  test('that puts FIFOs in the place of files, and files that grow and shrink, is copied in the end', async () => {
    await doing(
      'mkdir -p /f; rm -f /f/x; mkfifo /f/x; rm -f /f/x; dd if=/dev/zero of=/f/x bs=64k count=16 2>/dev/null; : > /f/x',
    );
    for (let i = 0; i < 20; i++)
      await copyOut(place, hostile, '/f', at(`got${i}`), how).catch((error: Error) =>
        expect(error.message).toMatch(/Could not find|changed/),
      );
    await tbuildOk(['export', '-o', at('tar'), 'hostile'], { store, timeoutMs: 60_000 });
    expect(execFileSync('tar', ['-tf', at('tar')], { encoding: 'utf8' })).toContain('etc/');
    expect(await tbuildOk(['diff', 'hostile'], { store })).toContain('A /f');
  });

  test('has devices that stay there', async () => {
    await doing('sleep 1');
    const { skipped } = await copyOut(place, hostile, '/dev', at('dev'), how);
    expect(skipped).toContain('dev/null');
    expect(existsSync(at('dev/null'))).toBe(false);
    await expect(copyIn(place, hostile, at('dev'), '/dev/null', how)).rejects.toThrow('must be a directory or a regular file');
  });

  test('gets no member of a tar that would be elsewhere', async () => {
    await doing('sleep 1');
    mkdirSync(at('in'));
    writeFileSync(at('evil'), 'x');
    symlinkSync('/etc', at('in/link'));
    execFileSync('tar', ['-cPf', at('up.tar'), '-C', at('in'), '../evil']);
    await expect(tbuildOk(['cp', '-', 'hostile:/tmp'], { store, input: readFileSync(at('up.tar')) })).rejects.toThrow(
      'leads out of the archive',
    );
    execFileSync('tar', ['-cf', at('link.tar'), '-C', at('in'), 'link']);
    execFileSync('tar', ['-rPf', at('link.tar'), '--transform', 's,.*,link/through-a-link,', at('evil')]);
    await tbuildOk(['cp', '-', 'hostile:/tmp'], { store, input: readFileSync(at('link.tar')) });
    expect(existsSync('/etc/through-a-link')).toBe(false);
    await tbuildOk(['cp', 'hostile:/etc/through-a-link', at('back')], { store });
  });
});
