// A stack of layers, really mounted, with a shell in it; and what there is to see in a root, seen by the kernel's answers alone.
// The root is looked at from outside, through the mount namespace of the process that made it.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { type RootResult, type RootSpec, type RunningRoot, startInRoot } from '../../src/native/with-root.ts';
import type { PresentLayer } from '../../src/snapshots/layers.ts';
import { mergedTree } from '../../src/snapshots/tree.ts';
import type { Workplace } from '../../src/snapshots/workplace.ts';

export interface Mounted {
  /** Its root, for this process to look at and to write to. */
  readonly root: string;
  /** Ends the shell; what was written becomes a layer if that was asked for. */
  end(): Promise<RootResult>;
}

export interface MountOptions {
  /** Done by sh inside before anybody looks; it must succeed. */
  readonly script?: string;
  readonly upper?: RootSpec['upper'];
  readonly stub?: RootSpec['stub'];
  readonly commit?: boolean;
}

/** Layers bottom first; there are /bin/sh, /bin/sleep and /dev in them. */
export async function mountStack(
  place: Workplace,
  layers: readonly PresentLayer[],
  options: MountOptions = {},
): Promise<Mounted> {
  // Before the trap a signal would do nothing: sh is the first process of its namespace.
  const script = `trap 'exit 0' TERM; set -e\n${options.script ?? ''}\necho ${READY}; while :; do sleep 1000 & wait; done`;
  const spec: RootSpec = {
    scratch: place.store.path('mnt'),
    layers: layers.map((layer) => place.layers.lower(layer)),
    stub: options.stub ?? [],
    upper: options.upper ?? null,
    files: [],
    mounts: [],
    config: {
      ociVersion: '1.2.0',
      process: {
        args: ['/bin/sh', '-c', script],
        cwd: '/',
        env: ['PATH=/bin'],
        user: { uid: 0, gid: 0 },
        capabilities: Object.fromEntries(['bounding', 'effective', 'permitted'].map((set) => [set, capabilities])),
      },
      root: { path: 'rootfs' },
      // The runtime makes devices there.
      mounts: [{ destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] }],
      linux: { namespaces: [{ type: 'mount' }, { type: 'pid' }] },
    },
    commit: options.commit ? { driver: place.driver.driver, out: place.newPath() } : null,
  };
  const running = startInRoot(spec, 'contract', 'pipe');
  await isReady(running);
  return {
    root: `/proc/${running.child.pid}/root${path.join(spec.scratch, 'bundle/rootfs')}`,
    end: () => {
      running.child.kill('SIGTERM');
      return running.result;
    },
  };
}

const READY = 'the script is done';

function isReady({ child, result }: RunningRoot): Promise<void> {
  let said = '';
  return new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (said.includes(READY)) resolve();
      });
    }
    result.then(({ status }) => reject(new Error(`the shell ended with ${status}: ${said}`)), reject);
  });
}

const capabilities = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'MKNOD', 'SETFCAP', 'SYS_ADMIN'].map((name) => `CAP_${name}`);

/** What one path shows, in words that can be compared and printed. */
export interface Sight {
  readonly path: string;
  readonly type: string;
  readonly mode: string;
  readonly owner: string;
  /** Seconds and nanoseconds. */
  readonly mtime: string;
  /** Size and SHA-256 of a file, target of a symlink, numbers of a device. */
  readonly content: string;
  /** First of the names that are one file. */
  readonly sameAs: string;
  readonly xattrs: Readonly<Record<string, string>>;
}

/** Everything in the root, the root first. Names that are no UTF-8 are left out; with `ignoreAbsent` so are those listed and not there. */
export function seeAll(root: string, ignoreAbsent = false): Sight[] {
  const xattrs = xattrsBelow(root, ignoreAbsent);
  const firstNames = new Map<string, string>();
  const see = (relative: string): Sight => {
    const full = path.join(root, relative);
    const stat = lstatSync(full, { bigint: true });
    const type = typeOf(Number(stat.mode));
    const inode = `${stat.dev}:${stat.ino}`;
    if (type !== 'dir' && !firstNames.has(inode)) firstNames.set(inode, relative);
    return {
      path: relative,
      type,
      mode: (Number(stat.mode) & 0o7777).toString(8),
      owner: `${stat.uid}:${stat.gid}`,
      mtime: timeOf(stat.mtimeNs),
      content: contentOf(full, type, Number(stat.size), Number(stat.rdev)),
      sameAs: type === 'dir' ? relative : (firstNames.get(inode) as string),
      xattrs: xattrs.get(relative) ?? {},
    };
  };
  const names = namesBelow(root, '');
  return names.filter((name) => !ignoreAbsent || lstatSync(path.join(root, name), { throwIfNoEntry: false })).map(see);
}

function namesBelow(root: string, directory: string): string[] {
  const entries = readdirSync(path.join(root, directory), { withFileTypes: true });
  const below = entries
    .filter(({ name }) => !name.includes('\ufffd'))
    .flatMap((entry) => {
      const name = directory === '' ? entry.name : `${directory}/${entry.name}`;
      return entry.isDirectory() ? namesBelow(root, name) : [name];
    });
  return [directory, ...below].sort(byBytes);
}

const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

function typeOf(mode: number): string {
  const types: Record<number, string> = { 1: 'fifo', 2: 'char', 4: 'dir', 6: 'block', 8: 'file', 10: 'symlink', 12: 'socket' };
  return types[mode >> 12] ?? 'unknown';
}

/** Seconds rounded down, as the kernel counts before 1970. */
function timeOf(nanoseconds: bigint): string {
  const rest = BigInt.asUintN(64, ((nanoseconds % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n);
  return `${(nanoseconds - rest) / 1_000_000_000n}.${String(rest).padStart(9, '0')}`;
}

function contentOf(full: string, type: string, size: number, rdev: number): string {
  if (type === 'file') return `${size} ${createHash('sha256').update(readFileSync(full)).digest('hex')}`;
  if (type === 'symlink') return readlinkSync(full);
  // makedev(3), for numbers that fit into 32 bits.
  if (type === 'char' || type === 'block') return `${(rdev >> 8) & 0xfff},${(rdev & 0xff) | ((rdev >> 12) & 0xfff00)}`;
  return '';
}

function xattrsBelow(root: string, ignoreAbsent: boolean): Map<string, Record<string, string>> {
  const args = ['--recursive', '--physical', '--no-dereference', '--dump', '--match=-', '--encoding=base64', '--', '.'];
  const { status, stdout: dump, stderr } = spawnSync('getfattr', args, { cwd: root, encoding: 'latin1', maxBuffer: 64 << 20 });
  if (status !== 0 && !ignoreAbsent) throw new Error(`getfattr: ${stderr}`);
  const all = new Map<string, Record<string, string>>();
  for (const block of dump.split('\n\n').filter((block) => block !== '')) {
    const [head = '', ...lines] = block.split('\n');
    const quoted = head.replace(/^# file: /, '');
    const name = quoted.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    const values = lines.map((line) => {
      const [key = '', ...value] = line.split('=');
      return [Buffer.from(key, 'latin1').toString(), value.join('=').replace(/^0s/, '')] as const;
    });
    const utf8 = Buffer.from(name, 'latin1').toString();
    all.set(utf8 === '.' ? '' : utf8.replace(/^\.\//, ''), Object.fromEntries(values));
  }
  return all;
}

/** The same of what the indexes say, with contents out of the layers' data. Names that are no UTF-8 are left out. */
export function seeIndexes(place: Workplace, layers: readonly PresentLayer[]): Sight[] {
  const tree = mergedTree(layers.map(({ id }) => place.layers.index(id)));
  const firstNames = new Map<string, string>();
  const names = (directory: string): string[] => [
    directory,
    ...tree.list(directory).flatMap(([, entry]) => (entry.type === 'dir' ? names(entry.path) : [entry.path])),
  ];
  const all = names('').filter((name) => name.isWellFormed());
  return all.sort(byBytes).map((name) => {
    const entry = tree.lookup(name);
    if (!entry) throw new Error(`${name} is listed and not there`);
    const layer = layers[entry.layer] as PresentLayer;
    const inode = `${entry.layer} ${entry.group}`;
    if (!firstNames.has(inode)) firstNames.set(inode, name);
    const hashed = () => createHash('sha256').update(place.layers.readFile(layer, name)).digest('hex');
    const contents: Partial<Record<string, () => string>> = {
      file: () => `${entry.size} ${hashed()}`,
      symlink: () => entry.link,
      char: () => entry.rdev.join(','),
      block: () => entry.rdev.join(','),
    };
    return {
      path: name,
      type: entry.type,
      mode: entry.mode.toString(8),
      owner: `${entry.uid}:${entry.gid}`,
      mtime: `${entry.mtime[0]}.${String(entry.mtime[1]).padStart(9, '0')}`,
      content: contents[entry.type]?.() ?? '',
      sameAs: entry.type === 'dir' ? name : (firstNames.get(inode) as string),
      xattrs: entry.xattrs ?? {},
    };
  });
}
