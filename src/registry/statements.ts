// What is said beside the images of an index in its registry: attestation manifests and their statements, as far as they are there.

import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import { type Attestation, attestedBy, readAttestations } from '../images/attestations.ts';
import type { Descriptor, Index } from '../oci/descriptor.ts';
import type { Repository } from './repository.ts';

/** In the index's order. */
export function fetchAttestations(repository: Repository, index: Index): Promise<Attestation[]> {
  const manifests = new Set<Digest>(index.manifests.filter((each) => attestedBy(each) !== undefined).map(({ digest }) => digest));
  return readAttestations(index, (descriptor, limitBytes) =>
    fetchPart(repository, descriptor, limitBytes, manifests.has(descriptor.digest)),
  );
}

/** Undefined: it is not there. */
async function fetchPart(
  repository: Repository,
  descriptor: Descriptor,
  limitBytes: number,
  isManifest: boolean,
): Promise<Buffer | undefined> {
  if (descriptor.size > limitBytes) return undefined;
  try {
    if (isManifest) return (await repository.fetchManifest(descriptor.digest)).bytes;
    return await repository.fetchBlob(descriptor, limitBytes);
  } catch (error) {
    if (error instanceof TbuildError && error.code === 'registry/not-found') return undefined;
    throw error;
  }
}
