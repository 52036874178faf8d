// The base images of the demo, the fixtures and the tests, made on this machine out of Debian's own packages, for this version of tbuild pulls from
// no registry: `busybox`, and `debian:12`, also called `debian:bookworm-slim`. Each is an OCI layout in a cache directory, named after all
// that goes into it, so that every checkout on the machine shares it. Run as a program it loads them into the store, where they are missing.
import { execFileSync, spawn } from 'node:child_process';
import { hash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Readable } from 'node:stream';
import { type Pack, pack } from 'tar-stream';
import { cached } from './cache.ts';
import { readAptOptions, readDebianSources } from './debian-sources.ts';
import { writeLayout } from './oci-layout.ts';

export interface BaseImage {
  readonly names: readonly string[];
  /** An OCI layout with one image. */
  readonly layout: string;
}

/** Stands in the cached layouts' names: raise it when a recipe below changes. */
const recipe = 1;
/** The time of every file that has none of its own, so that two machines with the same packages make the same bytes. */
const epochSeconds = 1_700_000_000;
const created = new Date(epochSeconds * 1000).toISOString();
const searchPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Makes what is not in the cache yet; `say` hears what takes its time. */
export async function makeBaseImages(say: (line: string) => void): Promise<BaseImage[]> {
  return [
    { names: ['busybox:latest'], layout: await makeBusybox(say) },
    { names: ['debian:12', 'debian:bookworm-slim'], layout: await makeDebian(say) },
  ];
}

/** Loads the images that the store (TBUILD_ROOT in `env`, else the default) has not under all their names, in the version that the cache has. */
export function loadBaseImages(images: readonly BaseImage[], env: NodeJS.ProcessEnv, say: (line: string) => void): void {
  const tbuild = path.join(import.meta.dirname, '../bin/tbuild');
  const stored = storedIds(tbuild, env);
  for (const { names, layout } of images) {
    const id = configDigest(layout);
    for (const name of names) {
      if (stored.get(name) === id) continue;
      say(`loading ${name} into the store`);
      execFileSync(tbuild, ['load', '--oci-layout', layout, '-t', name], { env, stdio: ['ignore', 'ignore', 'inherit'] });
    }
  }
}

async function makeBusybox(say: (line: string) => void): Promise<string> {
  const binary = readFileSync('/bin/busybox');
  return cached('busybox', [recipe, epochSeconds, hash('sha256', binary)], (directory) => {
    say('making the base image busybox out of /bin/busybox');
    const config = { Env: [searchPath], Cmd: ['sh'] };
    return writeLayout(directory, Readable.from(packBusybox(binary)), { created, createdBy: 'busybox-static', config });
  });
}

function packBusybox(binary: Buffer): Pack {
  const tar = pack();
  const mtime = new Date(epochSeconds * 1000);
  const addDirectory = (name: string, mode = 0o755) => tar.entry({ name, type: 'directory', mode, mtime });
  const addFile = (name: string, content: string | Buffer, mode = 0o644) => tar.entry({ name, mode, mtime }, content);
  addDirectory('bin');
  addFile('bin/busybox', binary, 0o755);
  const applets = execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).trim().split('\n');
  for (const applet of applets.filter((name) => name !== 'busybox').sort()) {
    tar.entry({ name: `bin/${applet}`, type: 'link', linkname: 'bin/busybox', mode: 0o755, mtime });
  }
  addDirectory('etc');
  addFile('etc/group', 'root:x:0:\nwww-data:x:33:\nusers:x:100:\nnogroup:x:65534:\n');
  addFile(
    'etc/passwd',
    'root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n',
  );
  for (const name of ['home', 'usr', 'usr/bin', 'var', 'var/www']) addDirectory(name);
  tar.entry({ name: 'usr/bin/env', type: 'symlink', linkname: '../../bin/env', mode: 0o777, mtime });
  addDirectory('root', 0o700);
  addDirectory('tmp', 0o1777);
  tar.finalize();
  return tar;
}

async function makeDebian(say: (line: string) => void): Promise<string> {
  const sources = readDebianSources('/etc/apt', 'bookworm');
  const aptOptions = readAptOptions();
  const inputs = [recipe, epochSeconds, process.arch, ...sources.map((source) => source.text), ...aptOptions];
  return cached('debian-12', inputs, async (directory) => {
    say('making the base image debian:12 with mmdebstrap (about 20 seconds, once on this machine)');
    const mirrors = sources.map(({ name, text }) => {
      const file = path.join(path.dirname(directory), name);
      writeFileSync(file, text);
      return file;
    });
    await bootstrapDebian(directory, mirrors, aptOptions);
  });
}

/** Debian's required packages and apt, without documents and translations, and with the settings that Debian's official image has for containers. */
async function bootstrapDebian(directory: string, mirrors: readonly string[], aptOptions: readonly string[]): Promise<void> {
  const excluded = ['/usr/share/doc/*', '/usr/share/man/*', '/usr/share/locale/*', '/usr/share/info/*', '/usr/share/lintian/*'];
  const clean = 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };';
  const child = spawn(
    'mmdebstrap',
    [
      '--quiet',
      '--variant=minbase',
      '--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr',
      '--include=usr-is-merged',
      '--skip=output/dev',
      '--aptopt=Acquire::Languages "none"',
      ...aptOptions.map((option) => `--aptopt=${option}`),
      '--dpkgopt=force-unsafe-io',
      ...excluded.map((pattern) => `--dpkgopt=path-exclude=${pattern}`),
      '--dpkgopt=path-include=/usr/share/doc/*/copyright',
      `--customize-hook=printf '%s\\n' '${clean}' > "$1/etc/apt/apt.conf.d/docker-clean"`,
      `--customize-hook=printf '#!/bin/sh\\nexit 101\\n' > "$1/usr/sbin/policy-rc.d"; chmod 755 "$1/usr/sbin/policy-rc.d"`,
      '--customize-hook=rm -f "$1/etc/hostname" "$1/etc/resolv.conf"',
      '--format=tar',
      'bookworm',
      '-',
      ...mirrors,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, SOURCE_DATE_EPOCH: String(epochSeconds) } },
  );
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-4000);
  });
  const ended = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  const config = { Env: [searchPath], Cmd: ['bash'] };
  const [status] = await Promise.all([
    ended,
    writeLayout(directory, child.stdout, { created, createdBy: 'mmdebstrap bookworm', config }),
  ]);
  if (status !== 0) throw new Error(`mmdebstrap failed (${status ?? 'killed'}), its last words:\n${log}`);
}

/** An image's ID. */
function configDigest(layout: string): string {
  const read = (file: string) => JSON.parse(readFileSync(path.join(layout, file), 'utf8'));
  const manifest = read('index.json').manifests[0].digest;
  return read(`blobs/sha256/${manifest.slice('sha256:'.length)}`).config.digest;
}

/** Image IDs by name. */
function storedIds(tbuild: string, env: NodeJS.ProcessEnv): Map<string, string> {
  const stdout = execFileSync(tbuild, ['images', '--no-trunc', '--format', 'json'], {
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const rows = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
  return new Map(rows.map((row) => [`${row.Repository}:${row.Tag}`, row.ID]));
}

if (import.meta.main) {
  const say = (line: string) => console.log(`setup: ${line}`);
  loadBaseImages(await makeBaseImages(say), process.env, say);
}
