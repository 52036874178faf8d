// What is said beside the images of an index where that is: attestation manifests and their statements, as far as they are there.

import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import { type Attestation, attestedBy, readAttestations } from '../images/attestations.ts';
import type { Descriptor, Index } from '../oci/descriptor.ts';
import type { ManifestSource } from './copy.ts';

/** A registry's repository, or a layout. */
export type DocumentSource = Pick<ManifestSource, 'fetchManifest' | 'fetchBlob'>;

/** In the index's order. */
export function fetchAttestations(source: DocumentSource, index: Index): Promise<Attestation[]> {
  const manifests = new Set<Digest>(index.manifests.filter((each) => attestedBy(each) !== undefined).map(({ digest }) => digest));
  return readAttestations(index, (descriptor, limitBytes) =>
    fetchPart(source, descriptor, limitBytes, manifests.has(descriptor.digest)),
  );
}

/** Undefined: it is not there. */
async function fetchPart(
  source: DocumentSource,
  descriptor: Descriptor,
  limitBytes: number,
  isManifest: boolean,
): Promise<Buffer | undefined> {
  if (descriptor.size > limitBytes) return undefined;
  try {
    if (isManifest) return (await source.fetchManifest(descriptor.digest)).bytes;
    return await source.fetchBlob(descriptor, limitBytes);
  } catch (error) {
    if (error instanceof TbuildError && ['registry/not-found', 'image/bad-archive'].includes(error.code)) return undefined;
    throw error;
  }
}
