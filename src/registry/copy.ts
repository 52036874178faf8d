// Manifests from one repository to another, with all that they name, byte for byte: nothing is unpacked, and nothing is kept here. What is there already
// stays, blobs of the same registry are mounted.

import pLimit from 'p-limit';
import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import { type Descriptor, isForeign, parseManifest } from '../oci/descriptor.ts';
import { parseReference } from '../oci/reference.ts';
import { farSource } from './blob-source.ts';
import type { FetchedManifest, Repository } from './repository.ts';
import { uploadBlob } from './upload.ts';

const UPLOADS_AT_A_TIME = 5;
const MAX_DEPTH = 4;

export interface CopyOptions {
  /** Of an index, the manifests to take along; those left out stay named in it. Unset: all. */
  readonly takes?: (descriptor: Descriptor) => boolean;
}

/** Everything below a manifest, and the manifest under its digest, so that `to` can have it under any name. */
export async function copyManifest(
  from: Repository,
  to: Repository,
  root: FetchedManifest,
  options: CopyOptions = {},
  depth = MAX_DEPTH,
): Promise<void> {
  if (from.name === to.name) return;
  const { digest } = root.descriptor;
  if (depth === 0)
    throw new TbuildError('image/bad-document', `${from.name}@${digest}: indexes are nested more than ${MAX_DEPTH} deep`);
  const document = parseManifest(root.bytes, `the manifest ${digest} of ${from.name}`);
  if (document.kind === 'index') {
    for (const each of document.manifests.filter(options.takes ?? (() => true))) {
      await copyManifest(from, to, await from.fetchManifest(each.digest), options, depth - 1);
    }
  } else await copyBlobs(from, to, [document.config, ...document.layers.filter((layer) => !isForeign(layer))]);
  await to.putManifest({ ...root.descriptor, mediaType: document.mediaType }, root.bytes, digest);
}

async function copyBlobs(from: Repository, to: Repository, blobs: readonly Descriptor[]): Promise<void> {
  const limit = pLimit({ concurrency: UPLOADS_AT_A_TIME, rejectOnClear: true });
  const source = parseReference(from.name);
  const isSameRegistry = source.domain === parseReference(to.name).domain;
  const failures: unknown[] = [];
  const copy = async (blob: Descriptor): Promise<void> => {
    if ((await to.headBlob(blob.digest)) !== undefined) return;
    const mount = isSameRegistry ? { digest: blob.digest, from: source.path } : undefined;
    await uploadBlob(to, farSource(blob, from), { mount });
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
