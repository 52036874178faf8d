// `load`: an archive, a stream or a layout folder becomes images of the store.

import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { TbuildError } from '../base/errors.ts';
import type { Platform } from '../oci/config.ts';
import { parseImageConfig } from '../oci/image-config.ts';
import { formatPlatform, matchesPlatform } from '../oci/platform.ts';
import { normalizeName } from '../oci/reference.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { type ArchiveFiles, badArchive, loadError, openArchiveFile, openFolder, spoolArchive } from './archive-files.ts';
import type { Image, ImageIndex, IncomingImage, IncomingIndex } from './image.ts';
import { keepIndex } from './keep-index.ts';
import { readImages } from './read-archive.ts';
import { receiveImages } from './receive.ts';
import type { Images } from './store.ts';

export interface LoadOptions {
  /** An archive, a layout's folder, or what comes through standard input. */
  readonly input: { readonly path: string } | { readonly stream: Readable };
  /** Of an image that is there for several only the one for this; unset: all of them. */
  readonly platform?: Platform;
  /** In place of the names in the archive, which must hold one image then. */
  readonly names?: readonly string[];
}

/** What was loaded, in the order of the archive. */
export async function loadImages(place: Workplace, store: Images, options: LoadOptions): Promise<(Image | ImageIndex)[]> {
  const names = options.names?.map(normalizeName);
  const label = 'path' in options.input ? options.input.path : 'standard input';
  const folder = place.newPath();
  await mkdir(folder);
  let made = 0;
  const own: Workplace = { ...place, newPath: () => join(folder, `own-${++made}`) };
  try {
    const files = await openFiles(options.input, label, folder);
    const found = await readImages(files, options.platform);
    if (found.length === 0) throw badArchive(label, 'there is no image in it');
    if (options.platform) for (const image of found.flatMap(imagesOf)) assertPlatform(image, options.platform);
    if (names && found.length > 1) {
      throw new TbuildError('usage/several-images', `${label} has ${found.length} images: one name does not fit them all`, {
        hint: 'load it without -t',
      });
    }
    return await receiveAll(own, store, names ? found.map((image) => ({ ...image, names })) : found);
  } catch (error) {
    throw loadError(label, error);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Names come last, with the index: an image in it has none of its own. */
async function receiveAll(
  place: Workplace,
  store: Images,
  found: readonly (IncomingImage | IncomingIndex)[],
): Promise<(Image | ImageIndex)[]> {
  const received = await receiveImages(place, store, found.flatMap(imagesOf));
  const kept: (Image | ImageIndex)[] = [];
  for (const each of found) {
    const images = received.splice(0, imagesOf(each).length);
    if ('platforms' in each) {
      const members = each.platforms.map(({ platform }, position) => ({ platform, image: images[position] as Image }));
      kept.push(await keepIndex(place, store, members, each.names, each));
    } else kept.push(...images);
  }
  return kept;
}

function imagesOf(found: IncomingImage | IncomingIndex): IncomingImage[] {
  return 'platforms' in found ? found.platforms.map(({ image }) => image) : [found];
}

async function openFiles(input: LoadOptions['input'], label: string, folder: string): Promise<ArchiveFiles> {
  if ('stream' in input) return spoolArchive(input.stream, label, folder);
  const isFolder = (await stat(input.path).catch(() => undefined))?.isDirectory();
  return isFolder ? openFolder(input.path) : spoolArchive(await openArchiveFile(input.path), label, folder);
}

/** An archive with a single image is loaded whatever it is for, unless the caller said for what it must be. */
function assertPlatform({ label, config }: IncomingImage, wanted: Platform): void {
  const offered = parseImageConfig(config, `${label}, config`);
  if (matchesPlatform(wanted, offered)) return;
  throw new TbuildError('image/no-platform', `${label} is for ${formatPlatform(offered)}, not for ${formatPlatform(wanted)}`);
}
