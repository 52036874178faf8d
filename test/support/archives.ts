// Image archives as others write them, made in memory, with nothing of what is tested: OCI layouts and both kinds of docker-archive.
// Each is a map of names to contents, for a test to bend before it becomes a tar or a folder.
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { type Header, pack } from 'tar-stream';

export type Entry = Partial<Header> & { readonly name: string; readonly content?: string | Uint8Array };
export type Files = Map<string, string | Uint8Array>;

export const hexOf = (content: string | Uint8Array) => createHash('sha256').update(content).digest('hex');
export const digestOf = (content: string | Uint8Array) => `sha256:${hexOf(content)}` as const;

export function tarOf(entries: readonly Entry[]): Promise<Buffer> {
  const tar = pack();
  for (const { content, ...header } of entries) tar.entry({ mtime: new Date(0), ...header }, Buffer.from(content ?? ''));
  tar.finalize();
  return buffer(tar as unknown as Readable);
}

export const archiveOf = (files: Files) => tarOf([...files].map(([name, content]) => ({ name, content })));

export function writeFiles(folder: string, files: Files): string {
  for (const [name, content] of files) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), content);
  }
  return folder;
}

/** A layer's tar with one file. */
export const layerOf = (name: string, content: string) => tarOf([{ name, content }]);

export interface Platform {
  readonly os: string;
  readonly architecture: string;
}

export const amd64: Platform = { os: 'linux', architecture: 'amd64' };

export function configOf(layers: readonly Uint8Array[], platform: Platform = amd64, label = ''): string {
  return JSON.stringify({
    ...platform,
    created: '2026-01-01T00:00:00Z',
    config: { Cmd: ['sh'], Labels: { label } },
    rootfs: { type: 'layers', diff_ids: layers.map(digestOf) },
    history: layers.map((_, position) => ({ created: '2026-01-01T00:00:00Z', created_by: `layer ${position}` })),
  });
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** Adds a blob, and says what a descriptor of it says. */
export function addBlob(files: Files, mediaType: string, content: string | Uint8Array): Descriptor {
  files.set(`blobs/sha256/${hexOf(content)}`, content);
  return { mediaType, digest: digestOf(content), size: Buffer.byteLength(content) };
}

/** Adds an image's blobs; its layers' tars are gzipped unless told otherwise. */
export function addImage(
  files: Files,
  layers: readonly Uint8Array[],
  config = configOf(layers),
  compress: typeof gzipSync | null = gzipSync,
): Descriptor {
  const oci = 'application/vnd.oci.image';
  const manifest = {
    schemaVersion: 2,
    mediaType: `${oci}.manifest.v1+json`,
    config: addBlob(files, `${oci}.config.v1+json`, config),
    layers: layers.map((layer) =>
      compress ? addBlob(files, `${oci}.layer.v1.tar+gzip`, compress(layer)) : addBlob(files, `${oci}.layer.v1.tar`, layer),
    ),
  };
  // Spaces that no encoder of ours would write: the bytes must survive.
  return addBlob(files, manifest.mediaType, JSON.stringify(manifest, null, 3));
}

export const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json';

export function setIndex(files: Files, manifests: readonly object[]): Files {
  files.set('oci-layout', '{"imageLayoutVersion":"1.0.0"}');
  return files.set('index.json', JSON.stringify({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests }));
}

export const named = (descriptor: object, name: string) => ({ ...descriptor, annotations: { 'io.containerd.image.name': name } });

/** One image of one layer, called `app`. */
export async function layout(layers: readonly Uint8Array[] | undefined = undefined): Promise<Files> {
  const files: Files = new Map();
  return setIndex(files, [named(addImage(files, layers ?? [await layerOf('hello', 'hello')]), 'docker.io/library/app:latest')]);
}

/** As docker before 25 saved one: `layer.tar` in a folder for each layer. */
export async function oldDockerArchive(layers: readonly Uint8Array[] | undefined = undefined): Promise<Files> {
  const all = layers ?? [await layerOf('hello', 'hello')];
  const config = configOf(all);
  const names = all.map((layer) => `${hexOf(`id of ${hexOf(layer)}`)}/layer.tar`);
  const files: Files = new Map<string, string | Uint8Array>(names.map((name, position) => [name, all[position] as Uint8Array]));
  files.set(`${hexOf(config)}.json`, config);
  files.set('repositories', '{}');
  return files.set(
    'manifest.json',
    JSON.stringify([{ Config: `${hexOf(config)}.json`, RepoTags: ['app:latest'], Layers: names }]),
  );
}
