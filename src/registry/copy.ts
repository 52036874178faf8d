// Manifests from a repository or a layout to a repository, with all that they name, byte for byte: nothing is unpacked, and nothing is kept here. What is
// there already stays, blobs of the same registry are mounted.

import pLimit from 'p-limit';
import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import { type Descriptor, isForeign, parseManifest } from '../oci/descriptor.ts';
import { parseReference, type Reference } from '../oci/reference.ts';
import { type BlobSource, farSource } from './blob-source.ts';
import type { FetchedManifest, Repository } from './repository.ts';
import { uploadBlob } from './upload.ts';

const UPLOADS_AT_A_TIME = 5;
const MAX_DEPTH = 4;

/** Where manifests and blobs are. */
export interface ManifestSource {
  /** What messages call it; of a repository its name in full. */
  readonly name: string;
  /** Of a repository; undefined: it is none, and nothing can be mounted from it. */
  readonly reference?: Reference;
  fetchManifest(digest: Digest): Promise<FetchedManifest>;
  /** A small one, checked. */
  fetchBlob(blob: Descriptor, limitBytes: number): Promise<Buffer>;
  openBlob(blob: Descriptor): Promise<BlobSource>;
}

export function remoteSource(repository: Repository): ManifestSource {
  return {
    name: repository.name,
    reference: parseReference(repository.name),
    fetchManifest: (digest) => repository.fetchManifest(digest),
    fetchBlob: (blob, limitBytes) => repository.fetchBlob(blob, limitBytes),
    openBlob: async (blob) => farSource(blob, repository),
  };
}

/** Everything below a manifest, and the manifest under its digest, so that `to` can have it under any name. */
export async function copyManifest(
  from: ManifestSource,
  to: Repository,
  root: FetchedManifest,
  depth = MAX_DEPTH,
): Promise<void> {
  if (from.name === to.name) return;
  const { digest } = root.descriptor;
  if (depth === 0)
    throw new TbuildError('image/bad-document', `${from.name}@${digest}: indexes are nested more than ${MAX_DEPTH} deep`);
  const document = parseManifest(root.bytes, `the manifest ${digest} of ${from.name}`);
  if (document.kind === 'index') {
    for (const each of document.manifests) {
      await copyManifest(from, to, await from.fetchManifest(each.digest), depth - 1);
    }
  } else await copyBlobs(from, to, [document.config, ...document.layers.filter((layer) => !isForeign(layer))]);
  await to.putManifest({ ...root.descriptor, mediaType: document.mediaType }, root.bytes, digest);
}

async function copyBlobs(from: ManifestSource, to: Repository, blobs: readonly Descriptor[]): Promise<void> {
  const limit = pLimit({ concurrency: UPLOADS_AT_A_TIME, rejectOnClear: true });
  const { domain, path } = from.reference ?? {};
  const mountFrom = domain === parseReference(to.name).domain ? path : undefined;
  const failures: unknown[] = [];
  const copy = async (blob: Descriptor): Promise<void> => {
    if ((await to.headBlob(blob.digest)) !== undefined) return;
    const mount = mountFrom === undefined ? undefined : { digest: blob.digest, from: mountFrom };
    await uploadBlob(to, await from.openBlob(blob), { mount });
  };
  const unique = new Map<Digest, Descriptor>(blobs.map((blob) => [blob.digest, blob]));
  const copying = [...unique.values()].map((blob) =>
    limit(() => copy(blob)).catch((error: unknown) => {
      failures.push(error);
      limit.clearQueue();
    }),
  );
  await Promise.all(copying);
  if (failures.length > 0) throw failures[0];
}
