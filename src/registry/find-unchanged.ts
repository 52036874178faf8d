// Whether a name still stands for what is here: a question that sends no manifest, which Docker Hub would count.

import type { Digest } from '../base/digest.ts';
import { findHere } from '../images/find-here.ts';
import type { Image } from '../images/image.ts';
import type { Images } from '../images/store.ts';
import type { Platform } from '../oci/config.ts';
import { formatReference, normalizeName, type Reference } from '../oci/reference.ts';
import type { Repository } from './repository.ts';

export interface Unchanged {
  readonly name: string;
  /** What the name stands for in its registry. */
  readonly digest: Digest;
  readonly image: Image;
}

/** Undefined: it stands for something else, or there is nothing here, or the registry does not say. */
export async function findUnchanged(
  images: Images,
  repository: Repository,
  reference: Reference,
  platform: Platform,
): Promise<Unchanged | undefined> {
  const name = normalizeName(formatReference(reference));
  const image = findHere(images, name, platform);
  if (!image) return undefined;
  const digest = reference.digest ?? (await repository.headManifest(reference.tag ?? 'latest'))?.digest;
  if (digest === undefined) return undefined;
  const { domain, path } = reference;
  const known = findHere(images, formatReference({ domain, path, digest }), platform);
  return known?.id === image.id ? { name, digest, image } : undefined;
}
