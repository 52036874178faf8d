// Brings images of the store together as an index. Its document is the one they came with; else one of ours, of the manifests they came with or
// those they have when they are saved with layers that are not compressed: nothing has to be compressed to know what an index is called.

import { type Digest, sha256 } from '../base/digest.ts';
import { type Descriptor, encodeImageIndex, encodeManifest, layerMediaType, mediaTypes } from '../oci/descriptor.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { Attestation } from './attestations.ts';
import type { Image, ImageIndex, PlatformImage } from './image.ts';
import { layerOf } from './layer-blobs.ts';
import type { Images } from './store.ts';

/** As an index came from outside. */
export interface Original {
  /** Undefined: not whole, so that it gets one of ours. */
  readonly document?: Buffer | undefined;
  readonly attestations: readonly Attestation[];
}

/** What is to be said of an image, whose manifest is called so; undefined: nothing. */
export type Attest = (image: PlatformImage, manifest: Digest) => Attestation | undefined;

export async function keepIndex(
  place: Workplace,
  store: Images,
  images: readonly PlatformImage[],
  names: readonly string[],
  from?: Original | Attest,
): Promise<ImageIndex> {
  const members = images.map(({ platform, image }) => ({ platform, image: image.id }));
  const known = typeof from === 'object' ? from : undefined;
  if (known?.document) {
    const { document, attestations } = known;
    return store.putIndex({ document, images: members, attestations, names, isOriginal: true });
  }
  const descriptors = await Promise.all(images.map((each) => describeImage(place, store, each)));
  const attest = typeof from === 'function' ? from : () => undefined;
  const made = images.flatMap((each, position) => attest(each, (descriptors[position] as Descriptor).digest) ?? []);
  const attestations = known?.attestations ?? made;
  const document = encodeImageIndex([...descriptors, ...attestations.map(({ descriptor }) => descriptor)]);
  return store.putIndex({ document, images: members, attestations, names, isOriginal: false });
}

async function describeImage(place: Workplace, store: Images, { platform, image }: PlatformImage): Promise<Descriptor> {
  const original = store.originalManifest(image);
  if (original && image.manifest) {
    return { mediaType: original.manifest.mediaType, digest: image.manifest, size: original.bytes.length, platform };
  }
  const manifest = await encodePlainManifest(place, image);
  return { mediaType: mediaTypes.manifest, digest: sha256(manifest), size: manifest.length, platform };
}

/** The manifest of an image whose layers are not compressed: known without one of them being written. */
export async function encodePlainManifest(place: Workplace, image: Image): Promise<Buffer> {
  const layers = await Promise.all(
    image.layers.map(async (id): Promise<Descriptor> => {
      const { diffId, tarSize } = await place.layers.describe(layerOf(place, image, id));
      return { mediaType: layerMediaType('none'), digest: diffId, size: tarSize };
    }),
  );
  const config = { mediaType: mediaTypes.config, digest: image.id, size: Buffer.byteLength(image.configText) };
  return encodeManifest(config, layers);
}
