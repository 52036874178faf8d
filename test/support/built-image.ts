// What a build made, as anyone sees it who reads its OCI layout: the config, and the file system that its layers make together.
// Nothing of tbuild's own code is used.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gunzipSync } from 'node:zlib';
import { extract, type Header } from 'tar-stream';
import type { ContainerConfig, HistoryEntry, ImageConfig } from '../../src/oci/config.ts';
import { type ContextFile, makeContext } from './contexts.ts';
import { type Built, build } from './events.ts';
import { type Options, tbuild } from './tbuild.ts';

export interface BuiltFile extends Header {
  readonly content: Buffer;
}

export interface BuiltImage extends Built {
  readonly document: ImageConfig;
  readonly config: ContainerConfig;
  /** Of its history what a builder of Dockerfiles wrote. */
  readonly history: readonly HistoryEntry[];
  /** By path, without a slash before or after it. */
  readonly files: ReadonlyMap<string, BuiltFile>;
  /** Content of a file without the last line's end; undefined: there is none. */
  text(path: string): string | undefined;
  /** `755 0:0`; undefined: nothing is there. */
  stat(path: string): string | undefined;
  /** Names in a directory, sorted. */
  list(path: string): string[];
}

export interface BuildSettings extends Options {
  /** Files of the context; a string: a context that is there. */
  readonly context?: Readonly<Record<string, ContextFile>> | string;
  readonly args?: readonly string[];
}

/** Builds `dockerfile` and exports the image. Throws all that was said when that fails. */
export async function buildImage(dockerfile: string, settings: BuildSettings = {}): Promise<BuiltImage> {
  const layout = mkdtempSync(path.join(tmpdir(), 'tbuild-layout-'));
  try {
    const output = `type=oci,tar=false,dest=${layout}`;
    const built = await build([...buildArguments(dockerfile, settings), '-o', output], settings);
    if (built.code !== 0) throw new Error(`the build exited ${built.code}\n${built.stderr}`);
    return { ...built, ...(await readLayout(layout)) };
  } finally {
    rmSync(layout, { recursive: true, force: true });
  }
}

/** Builds `dockerfile`, which must fail: the printed error. */
export async function buildError(dockerfile: string, settings: BuildSettings = {}): Promise<string> {
  const { code, stderr } = await tbuild(['build', ...buildArguments(dockerfile, settings)], settings);
  if (code === 0) throw new Error(`the build did not fail\n${stderr}`);
  return stderr;
}

/** The Dockerfile lies outside of the context, so that builds at the same time can share one; `-f` among the arguments names another. */
function buildArguments(dockerfile: string, { context = {}, args = [] }: BuildSettings): string[] {
  const root = typeof context === 'string' ? context : makeContext(context);
  const file = args.includes('-f') ? [] : ['-f', path.join(makeContext({ Dockerfile: dockerfile }), 'Dockerfile')];
  return [...file, ...args, root];
}

async function readLayout(layout: string): Promise<Omit<BuiltImage, keyof Built>> {
  const blob = (digest: string) => readFileSync(path.join(layout, 'blobs', digest.replace(':', '/')));
  const read = (digest: string) => JSON.parse(blob(digest).toString());
  const index = JSON.parse(readFileSync(path.join(layout, 'index.json'), 'utf8'));
  const manifest = read(index.manifests[0].digest);
  const document = read(manifest.config.digest) as ImageConfig;
  const files = new Map<string, BuiltFile>();
  for (const layer of manifest.layers) await applyLayer(files, gunzipSync(blob(layer.digest)));
  return {
    document,
    config: document.config ?? {},
    history: (document.history ?? []).filter(({ comment }) => comment === 'buildkit.dockerfile.v0'),
    files,
    text: (name) => files.get(bare(name))?.content.toString().replace(/\n$/, ''),
    stat: (name) => {
      const file = files.get(bare(name));
      return file && `${file.mode.toString(8)} ${file.uid}:${file.gid}`;
    },
    list: (name) => {
      const prefix = bare(name) === '' ? '' : `${bare(name)}/`;
      const names = [...files.keys()].filter((file) => file.startsWith(prefix)).map((file) => file.slice(prefix.length));
      return names.filter((inside) => inside !== '' && !inside.includes('/')).sort();
    },
  };
}

const bare = (name: string): string => name.replaceAll(/^(?:\.?\/)+|\/+$/g, '');

/** Whiteouts take away what lower layers have, and hard links are the file that they name. */
async function applyLayer(files: Map<string, BuiltFile>, tar: Buffer): Promise<void> {
  const reader = extract();
  reader.end(tar);
  const own = new Map<string, BuiltFile>();
  for await (const entry of reader) {
    const content = await buffer(entry as unknown as AsyncIterable<Buffer>);
    own.set(bare(entry.header.name), { ...entry.header, content });
  }
  const forget = (name: string, itself: boolean) => {
    for (const known of files.keys()) if (known.startsWith(`${name}/`) || (itself && known === name)) files.delete(known);
  };
  for (const name of own.keys()) {
    const { dir, base } = path.posix.parse(name);
    if (base === '.wh..wh..opq') forget(dir, false);
    else if (base.startsWith('.wh.')) forget(path.posix.join(dir, base.slice(4)), true);
  }
  for (const [name, file] of own) {
    if (path.posix.basename(name).startsWith('.wh.')) continue;
    if (file.type !== 'directory') forget(name, false);
    files.set(name, file.type === 'link' ? (files.get(bare(file.linkname)) as BuiltFile) : file);
  }
}
