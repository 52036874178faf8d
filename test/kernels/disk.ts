// The disk of the guests: Debian's base image, this checkout's bundle with its Node, the base images as OCI layouts, what maps the ids of an
// account, and the Rust tests as cargo built them, all at the paths that they have here. Made anew for each run of the tests.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeBaseImages } from '../../setup/base-images.ts';

const repository = path.join(import.meta.dirname, '../..');
const native = path.join(repository, 'runner-native');

/** Where base images are on the disk. */
export const layouts = '/guest/layouts';

/** What shows the place of an error in a Dockerfile. */
const FOR_ERRORS = ['dockerfile-ast', 'vscode-languageserver-textdocument', 'vscode-languageserver-types'].map(
  (name) => `node_modules/${name}`,
);

/** Path by name, as `limits` of tests/limits.rs. */
export type RustTests = Readonly<Record<string, string>>;

/** Builds the tests of the crates whose work is the kernel's. */
export function buildRustTests(): RustTests {
  const args = [
    'test',
    '--locked',
    '--no-run',
    '--quiet',
    '-p',
    'tbuild-runner',
    '-p',
    'tbuild-runtime',
    '--message-format=json',
  ];
  const { status, stdout } = spawnSync('cargo', args, {
    cwd: native,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error('the Rust tests cannot be built');
  const messages = stdout.split('\n').filter((line) => line.startsWith('{'));
  const artifacts = messages.map((line) => JSON.parse(line)).filter(({ profile, executable }) => profile?.test && executable);
  return Object.fromEntries(artifacts.map(({ target, executable }) => [target.name, executable]));
}

export async function makeDisk(file: string, rustTests: RustTests, say: (line: string) => void): Promise<void> {
  const root = `${file}.tree`;
  const images = await makeBaseImages(say);
  mkdirSync(root, { recursive: true });
  for (const { names, layout } of images) {
    if (names.includes('debian:12')) unpackLayer(layout, root);
    cpSync(layout, path.join(root, layouts, (names[0] ?? '').split(':')[0] ?? ''), { recursive: true });
  }
  const add = (absolute: string) => {
    mkdirSync(path.join(root, path.dirname(absolute)), { recursive: true });
    execFileSync('cp', ['-rL', absolute, path.join(root, absolute)]);
  };
  for (const name of ['bin', 'dist', 'package.json', 'node_modules/.bin/node', ...FOR_ERRORS]) add(path.join(repository, name));
  const builds = path.join(path.dirname(Object.values(rustTests)[0] ?? ''), '..');
  for (const executable of [...Object.values(rustTests), path.join(builds, 'tbuild-runner')]) {
    add(executable);
    execFileSync('strip', [path.join(root, executable)]);
  }
  mkdirSync(path.join(root, builds, '../tmp'), { recursive: true });
  add('/bin/busybox');
  for (const name of ['newuidmap', 'newgidmap']) {
    add(`/usr/bin/${name}`);
    chmodSync(path.join(root, `/usr/bin/${name}`), 0o4755);
  }
  cpSync(path.join(import.meta.dirname, 'session.sh'), path.join(root, 'guest/session.sh'));
  for (const name of ['dev', 'proc', 'sys', 'run', 'tmp']) mkdirSync(path.join(root, name), { recursive: true });
  writeFileSync(file, '');
  execFileSync('mke2fs', ['-q', '-t', 'ext4', '-O', '^has_journal', '-d', root, file, '4G'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  rmSync(root, { recursive: true });
}

function unpackLayer(layout: string, root: string): void {
  const blob = (digest: string) => path.join(layout, 'blobs/sha256', digest.replace('sha256:', ''));
  const read = (file: string) => JSON.parse(readFileSync(file, 'utf8'));
  const manifest = read(blob(read(path.join(layout, 'index.json')).manifests[0].digest));
  execFileSync('tar', ['-xzf', blob(manifest.layers[0].digest), '-C', root]);
}
