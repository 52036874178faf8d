// Whether all that an index of a registry names is here once one of its images has been pulled: then it keeps its own document, and so its digest when it
// is pushed again. What is said of its images beside them is fetched then.

import { attestedBy } from '../images/attestations.ts';
import { isImage } from '../images/choose-manifests.ts';
import type { PlatformImage } from '../images/image.ts';
import type { Original } from '../images/keep-index.ts';
import { type Descriptor, parseManifest } from '../oci/descriptor.ts';
import type { Repository } from './repository.ts';
import { fetchAttestations } from './statements.ts';

export interface WholeIndex {
  /** In the order of the document. */
  readonly images: readonly PlatformImage[];
  readonly original: Original;
}

/** Undefined: something of it is not here. `images`: those of it that are. */
export async function findWholeIndex(
  repository: Repository,
  document: Buffer,
  images: readonly PlatformImage[],
): Promise<WholeIndex | undefined> {
  const index = parseManifest(document, 'the index');
  if (index.kind !== 'index') return undefined;
  const wanted = index.manifests.filter(isImage);
  const found = wanted.map((descriptor) => memberFor(descriptor, images));
  if (!found.every((member) => member !== undefined)) return undefined;
  const said = index.manifests.filter((descriptor) => attestedBy(descriptor) !== undefined);
  if (wanted.length + said.length < index.manifests.length) return undefined;
  const attestations = await fetchAttestations(repository, index);
  return attestations.length === said.length ? { images: found, original: { document, attestations } } : undefined;
}

function memberFor({ digest, platform }: Descriptor, images: readonly PlatformImage[]): PlatformImage | undefined {
  const image = images.find((each) => each.image.manifest === digest)?.image;
  return image && { platform: platform ?? image.config, image };
}
