// An image of a registry becomes one of the store. Layers are fetched, unpacked and checked at once, some of them at a time; those that are
// here are not fetched. The image gets its name, and the name with the digest that the registry knows it by, so that it is found by either.

import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { FarLayer, Image, IncomingImage, IncomingLayer, PlatformImage } from '../images/image.ts';
import { keepIndex } from '../images/keep-index.ts';
import { receiveImages } from '../images/receive.ts';
import type { Images } from '../images/store.ts';
import type { Platform } from '../oci/config.ts';
import { type Descriptor, isForeign } from '../oci/descriptor.ts';
import { formatPlatform, normalizePlatform } from '../oci/platform.ts';
import { familiarName, formatReference, parseReference } from '../oci/reference.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { rememberPlaces } from './blob-places.ts';
import type { Repository } from './repository.ts';
import type { RemoteImage } from './resolve.ts';
import { findWholeIndex } from './whole-index.ts';

/** What happens to the layers of an image, as it happens. */
export type LayerEvent =
  /** Once, before all others: the layers that the image has, bottom first. */
  | { readonly type: 'layers'; readonly layers: readonly Descriptor[] }
  /** It is here already: nothing was fetched. */
  | { readonly type: 'exists'; readonly layer: Digest }
  | { readonly type: 'progress'; readonly layer: Digest; readonly bytes: number }
  | { readonly type: 'downloaded'; readonly layer: Digest }
  /** Unpacked, checked, in the store. */
  | { readonly type: 'complete'; readonly layer: Digest };

export type LayerListener = (event: LayerEvent) => void;

/** Layers of an image that are fetched at a time: docker has 3, containerd 6. */
const LAYERS_AT_A_TIME = 4;

/** The layers of what was resolved, and the names. */
export async function receiveRemote(
  place: Workplace,
  images: Images,
  remote: RemoteImage,
  listener: LayerListener = () => {},
): Promise<Image> {
  listener({ type: 'layers', layers: remote.manifest.layers });
  const onLayer = ({ blob }: IncomingLayer, state: 'known' | 'unpacked') =>
    listener({ type: state === 'known' ? 'exists' : 'complete', layer: (blob as Descriptor).digest });
  const { name, digest, platform } = remote;
  const { domain, path } = parseReference(name);
  const pinned = formatReference({ domain, path, digest });
  const names = [...new Set([name, pinned])];
  const others = siblings(images, pinned, platform);
  const incoming = incomingImage(remote, others.length === 0 ? names : [], listener);
  // Before anything is fetched: a layer that is here already has no blob of this registry's, and may be wanted back as it was.
  const blobs = remote.manifest.layers.map((layer) => layer.digest);
  rememberPlaces(place.store.db, formatReference({ domain, path }), blobs);
  const [image] = await receiveImages(place, images, [incoming], {
    concurrency: LAYERS_AT_A_TIME,
    onLayer,
    signal: remote.repository.signal,
  });
  await keepTogether(place, images, remote, [...others, { platform, image: image as Image }], names);
  return image as Image;
}

/** As the index they are from, when all of it is here; else several of its images are together in one of ours. */
async function keepTogether(
  place: Workplace,
  images: Images,
  { repository, indexBytes }: RemoteImage,
  members: readonly PlatformImage[],
  names: readonly string[],
): Promise<void> {
  const whole = indexBytes && (await findWholeIndex(repository, indexBytes, members));
  if (whole) await keepIndex(place, images, whole.images, names, whole.original);
  else if (members.length > 1) await keepIndex(place, images, members, names);
}

/**
 * What was pulled for other platforms from the same index: it shares the name with what is pulled now, so that `run --platform` of one does not take
 * the other away. Anything else that had the name loses it.
 */
function siblings(images: Images, pinned: string, platform: Platform): PlatformImage[] {
  const image = images.find(pinned);
  if (!image) return [];
  const all = images.resolveIndex(pinned)?.images ?? [{ platform: image.config, image }];
  return all.filter((each) => formatPlatform(normalizePlatform(each.platform)) !== formatPlatform(normalizePlatform(platform)));
}

function incomingImage(remote: RemoteImage, names: readonly string[], listener: LayerListener): IncomingImage {
  const { name, repository, manifest, manifestBytes, config, configBytes } = remote;
  const diffIds = config.rootfs.diff_ids as Digest[];
  const layers = manifest.layers.map((blob, position): FarLayer => {
    const open = () => counted(openLayer(repository, blob), blob.digest, listener);
    return { diffId: diffIds[position] as Digest, blob, from: parseReference(name).domain, open };
  });
  return { label: familiarName(name), config: configBytes, manifest: manifestBytes, names, layers };
}

/** Of a foreign layer the registry may have nothing but its descriptor. */
async function* openLayer(repository: Repository, blob: Descriptor): AsyncGenerator<Buffer> {
  try {
    yield* repository.openBlob(blob);
  } catch (error) {
    if (!isForeign(blob) || !(error instanceof TbuildError) || error.code !== 'registry/not-found') throw error;
    throw new TbuildError(error.code, error.message, {
      hint: 'it is a foreign layer: the URLs that its image names for it are not asked',
    });
  }
}

async function* counted(chunks: AsyncIterable<Buffer>, layer: Digest, listener: LayerListener): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    listener({ type: 'progress', layer, bytes });
    yield chunk;
  }
  listener({ type: 'downloaded', layer });
}
