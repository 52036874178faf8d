// Whether all that an index of a registry names is here once one of its images has been pulled: then it keeps its own document, and so its digest when it
// is pushed again. What is said of its images beside them is fetched then.

import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import { attestedBy, readAttestations } from '../images/attestations.ts';
import { isImage } from '../images/choose-manifests.ts';
import type { PlatformImage } from '../images/image.ts';
import type { Original } from '../images/keep-index.ts';
import { type Descriptor, parseManifest } from '../oci/descriptor.ts';
import type { Repository } from './repository.ts';

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
  const manifests = new Set<Digest>(said.map(({ digest }) => digest));
  const attestations = await readAttestations(index, (descriptor, limitBytes) =>
    fetchStatement(repository, descriptor, limitBytes, manifests.has(descriptor.digest)),
  );
  return attestations.length === said.length ? { images: found, original: { document, attestations } } : undefined;
}

function memberFor({ digest, platform }: Descriptor, images: readonly PlatformImage[]): PlatformImage | undefined {
  const image = images.find((each) => each.image.manifest === digest)?.image;
  return image && { platform: platform ?? image.config, image };
}

/** Undefined: it is not there, and then the image comes without. */
async function fetchStatement(
  repository: Repository,
  descriptor: Descriptor,
  limitBytes: number,
  isManifest: boolean,
): Promise<Buffer | undefined> {
  if (descriptor.size > limitBytes) return undefined;
  try {
    return isManifest
      ? (await repository.fetchManifest(descriptor.digest)).bytes
      : await repository.fetchBlob(descriptor, limitBytes);
  } catch (error) {
    if (error instanceof TbuildError && error.code === 'registry/not-found') return undefined;
    throw error;
  }
}
