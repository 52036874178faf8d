// `import`: a tar of files becomes an image of one layer. The layer's diff ID is the digest of the tar as it was given, whose framing is kept; nothing is
// in the store before the whole of it was read. Loaded when something is imported.

import { createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { TbuildError } from '../base/errors.ts';
import { redactUrl } from '../http/url.ts';
import type { LayerSummary } from '../native/serve.ts';
import type { Platform } from '../oci/config.ts';
import { encodeImageConfig } from '../oci/image-config.ts';
import { hostPlatform } from '../oci/platform.ts';
import { isPinned, normalizeName } from '../oci/reference.ts';
import type { Origin } from '../snapshots/layers.ts';
import { unpackedLimit } from '../snapshots/unpacked.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { loadError, openArchiveFile } from './archive-files.ts';
import { configFromChanges } from './config-changes.ts';
import type { Image } from './image.ts';
import type { Images } from './store.ts';

export interface ImportOptions {
  readonly input: ImportInput;
  /** As users write it; unset: the image gets none. */
  readonly name?: string;
  /** Dockerfile instructions for the config. */
  readonly changes: readonly string[];
  /** What the history says of it; unset: where it came from, in docker's words. */
  readonly message?: string;
  /** Unset: this machine's. */
  readonly platform?: Platform;
  /** When the image is said to be made, in seconds; unset: now. */
  readonly epoch?: number;
  readonly signal: AbortSignal;
}

/** A tar, plain or compressed with gzip, zstd, bzip2 or xz. */
export type ImportInput = { readonly path: string } | { readonly url: string } | { readonly stream: Readable };

export async function importImage(place: Workplace, store: Images, options: ImportOptions): Promise<Image> {
  const { input, name, changes, signal, platform = hostPlatform(), epoch } = options;
  const names = name === undefined ? [] : [fullName(name)];
  const config = await configFromChanges(changes, platform);
  const label = labelOf(input);
  const { layer: summary, origin } = await unpackTar(place, await takeArchive(place, input, signal), label);
  signal.throwIfAborted();
  const layer = place.layers.commit(summary, place.driver.driver, origin);
  const created = new Date(epoch === undefined ? Date.now() : epoch * 1000).toISOString();
  const { os, architecture, variant } = platform;
  const bytes = encodeImageConfig({
    os,
    architecture,
    ...(variant !== undefined && { variant }),
    created,
    config,
    rootfs: { type: 'layers', diff_ids: [origin.diffId] },
    history: [{ created, comment: options.message || `Imported from ${'url' in input ? label : '-'}` }],
  });
  return store.put({ config: bytes, layers: [layer], names });
}

function fullName(name: string): string {
  const full = normalizeName(name);
  if (!isPinned(full)) return full;
  throw new TbuildError('usage/bad-value', `an import cannot be named ${name}: its digest is what it will have`);
}

function labelOf(input: ImportInput): string {
  if ('url' in input) return redactUrl(input.url);
  return 'path' in input ? input.path : 'standard input';
}

/** A file to be read from: the user's own, or one of this process. */
async function takeArchive(place: Workplace, input: ImportInput, signal: AbortSignal): Promise<string> {
  if ('url' in input) return downloadArchive(place, input.url, signal);
  if ('path' in input && (await stat(input.path).catch(() => undefined))?.isFile()) return input.path;
  const label = labelOf(input);
  const stream = 'path' in input ? await openArchiveFile(input.path) : input.stream;
  const path = place.newPath();
  await pipeline(stream, createWriteStream(path, { flags: 'wx', mode: 0o600, highWaterMark: 1 << 20 }), { signal }).catch(
    (error) => Promise.reject(loadError(label, error)),
  );
  return path;
}

/** Kept and asked for again as what ADD downloads is. */
async function downloadArchive({ store, newPath }: Workplace, url: string, signal: AbortSignal): Promise<string> {
  const { download, takeDownload } = await import('../context/http/download.ts');
  const source = { url, name: 'archive', checksum: undefined };
  const places = { downloads: store.path('sources', 'http'), newPath };
  const access = { secret: () => undefined, fresh: false, progress: () => {}, signal };
  const { root } = await takeDownload(source, places, access, await download(source, places, access));
  return `${root}/archive`;
}

async function unpackTar(
  place: Workplace,
  archive: string,
  label: string,
): Promise<{ readonly layer: LayerSummary; readonly origin: Origin }> {
  const { driver } = place.driver;
  const out = place.newPath();
  const { size } = await stat(archive);
  const { maxBytes, why, hint } = unpackedLimit(size);
  const summary = await place.serve
    .call('unpack', { driver, out, archive, whiteouts: true, split: true, maxBytes })
    .catch((cause) => Promise.reject(importError(label, why, hint, cause)));
  const { tarSize, split } = summary;
  const diffId = `sha256:${summary.diffId}` as const;
  return { layer: summary, origin: { diffId, tarSize, blob: diffId, splitFile: split ?? `${out}.split` } };
}

function importError(label: string, why: string, hint: string, cause: unknown): unknown {
  if (!(cause instanceof TbuildError) || !cause.code.startsWith('native/') || cause.code === 'native/crashed') return cause;
  if (cause.code === 'native/over-limit')
    return new TbuildError('image/too-large', `cannot import ${label}: it unpacks to more than ${why}`, { hint });
  return new TbuildError('image/bad-archive', `cannot import ${label}: ${cause.message}`, { cause });
}
