// Brings images of the store together as an index. Its document is the one they came with; else one of ours, of the manifests they came with or
// those they have when they are saved with layers that are not compressed: nothing has to be compressed to know what an index is called.

import { sha256 } from '../base/digest.ts';
import { type Descriptor, encodeImageIndex, encodeManifest, layerMediaType, mediaTypes } from '../oci/descriptor.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { ImageIndex, PlatformImage } from './image.ts';
import { layerOf } from './layer-blobs.ts';
import type { Images } from './store.ts';

/** `document`: the index as it came from outside, its manifests those of the images in the same order. */
export async function keepIndex(
  place: Workplace,
  store: Images,
  images: readonly PlatformImage[],
  names: readonly string[],
  document?: Buffer,
): Promise<ImageIndex> {
  return store.putIndex({
    document: document ?? encodeImageIndex(await Promise.all(images.map((each) => describeImage(place, store, each)))),
    images: images.map(({ platform, image }) => ({ platform, image: image.id })),
    names,
    isOriginal: document !== undefined,
  });
}

async function describeImage(place: Workplace, store: Images, { platform, image }: PlatformImage): Promise<Descriptor> {
  const original = store.originalManifest(image);
  if (original && image.manifest) {
    return { mediaType: original.manifest.mediaType, digest: image.manifest, size: original.bytes.length, platform };
  }
  const layers = await Promise.all(
    image.layers.map(async (id): Promise<Descriptor> => {
      const { diffId, tarSize } = await place.layers.describe(layerOf(place, image, id));
      return { mediaType: layerMediaType('none'), digest: diffId, size: tarSize };
    }),
  );
  const config = { mediaType: mediaTypes.config, digest: image.id, size: Buffer.byteLength(image.configText) };
  const manifest = encodeManifest(config, layers);
  return { mediaType: mediaTypes.manifest, digest: sha256(manifest), size: manifest.length, platform };
}
