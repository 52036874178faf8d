// Debian's kernels for the guests, out of its packages: the image, and the modules that a guest loads, in the order that they need. Nothing is
// installed; apt has lists and signatures of its own for it, and the result is in the cache directory of this machine.
import { execFileSync } from 'node:child_process';
import { copyFileSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { cached } from '../../setup/cache.ts';
import { readAptOptions, readDebianMirror } from '../../setup/debian-sources.ts';

export interface Kernel {
  /** As uname -r has it. */
  readonly release: string;
  readonly image: string;
  /** Files whose names sort as they are to be loaded. */
  readonly modules: string;
}

/** Raise it when what is taken from a package changes. */
const recipe = 1;
/** What these need comes with them. One that a kernel has built in is left out. */
const wanted = [
  ...['virtio_pci', 'virtio_blk', 'virtio_console', 'crc32c_generic', 'crc32c_intel', 'ext4'],
  ...['overlay', 'erofs', 'loop', 'fuse', 'bfq', 'tun', 'veth', 'bridge'],
];

/** The kernel of a release of Debian's, as it was when this machine first asked. */
export async function debianKernel(suite: string, say: (line: string) => void): Promise<Kernel> {
  const mirror = readDebianMirror('/etc/apt', 'bookworm');
  const aptOptions = readAptOptions();
  const directory = await cached(`kernel-${suite}`, [recipe, wanted, mirror, aptOptions], async (made) => {
    say(`fetching the kernel of Debian ${suite} (about 100 MB, once on this machine)`);
    const unpacked = `${made}.unpacked`;
    fetchPackage(
      suite,
      `deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror} ${suite} main`,
      aptOptions,
      unpacked,
    );
    const image = globSync('boot/vmlinuz-*', { cwd: unpacked })[0];
    if (image === undefined) throw new Error(`the kernel package of ${suite} holds no kernel`);
    mkdirSync(path.join(made, 'modules'), { recursive: true });
    copyModules(unpacked, path.join(made, 'modules'));
    writeFileSync(path.join(made, 'release'), image.replace('boot/vmlinuz-', ''));
    renameSync(path.join(unpacked, image), path.join(made, 'vmlinuz'));
    rmSync(unpacked, { recursive: true });
  });
  return {
    release: readFileSync(path.join(directory, 'release'), 'utf8'),
    image: path.join(directory, 'vmlinuz'),
    modules: path.join(directory, 'modules'),
  };
}

/** What the suite's linux-image-amd64 stands for, unpacked. */
function fetchPackage(suite: string, source: string, options: readonly string[], target: string): void {
  const own = `${target}.apt`;
  mkdirSync(path.join(own, 'lists/partial'), { recursive: true });
  mkdirSync(path.join(own, 'archives/partial'), { recursive: true });
  writeFileSync(path.join(own, 'sources.list'), `${source}\n`);
  const settings = [
    `Dir::State "${own}"; Dir::State::Lists "${own}/lists"; Dir::State::status "/dev/null"; Dir::Cache "${own}";`,
    `Dir::Etc::SourceList "${own}/sources.list"; Dir::Etc::SourceParts "/dev/null"; Dir::Etc::Preferences "/dev/null"; Dir::Etc::PreferencesParts "/dev/null";`,
    'APT::Architecture "amd64"; APT::Architectures { "amd64"; }; APT::Sandbox::User "root"; Acquire::Languages "none"; Acquire::Retries "3";',
    ...options,
  ];
  writeFileSync(path.join(own, 'apt.conf'), settings.join('\n'));
  const run = (command: string, ...args: string[]) =>
    execFileSync(command, args, {
      cwd: own,
      env: { ...process.env, APT_CONFIG: path.join(own, 'apt.conf'), LC_ALL: 'C' },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  run('apt-get', '-q', 'update');
  const name = /^Depends: (\S+)/m.exec(run('apt-cache', 'show', '--no-all-versions', 'linux-image-amd64'))?.[1];
  if (name === undefined) throw new Error(`Debian ${suite} has no linux-image-amd64`);
  run('apt-get', '-q', 'download', name);
  run('dpkg-deb', '-x', ...globSync('*.deb', { cwd: own }), target);
  rmSync(own, { recursive: true });
}

function copyModules(unpacked: string, target: string): void {
  // /lib, and since trixie /usr/lib; plain, or compressed with xz.
  const files = globSync('{,usr/}lib/modules/**/*.ko{,.xz}', { cwd: unpacked });
  const byName = new Map(
    files.map((file) => [moduleName(path.basename(file).replace(/\.ko(\.xz)?$/, '')), path.join(unpacked, file)]),
  );
  const taken = new Set<string>();
  const take = (name: string): void => {
    const file = byName.get(name);
    if (file === undefined || taken.has(name)) return;
    taken.add(name);
    const plain = path.join(unpacked, `${name}.ko`);
    if (file.endsWith('.xz')) writeFileSync(plain, execFileSync('xz', ['-dc', file], { maxBuffer: 1 << 28 }));
    else copyFileSync(file, plain);
    // modinfo's list: what has no name of its own among the modules is built in.
    const needed = /\0depends=([^\0]*)\0/.exec(readFileSync(plain, 'latin1'))?.[1] ?? '';
    for (const other of needed.split(',')) take(moduleName(other));
    loaded.push(plain);
  };
  const loaded: string[] = [];
  for (const name of wanted) take(name);
  loaded.forEach((file, index) => {
    copyFileSync(file, path.join(target, `${String(index).padStart(2, '0')}-${path.basename(file)}`));
  });
}

/** Files and lists spell `_` as `-` now and then. */
function moduleName(name: string): string {
  return name.replaceAll('-', '_');
}
