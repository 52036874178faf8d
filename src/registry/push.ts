// Pushing as the command does it: an image or an index of the store under a name of its own, or all names it has in a repository.

import { TbuildError } from '../base/errors.ts';
import type { DocumentOptions } from '../images/documents.ts';
import type { Image, ImageIndex } from '../images/image.ts';
import type { BlobOptions } from '../images/layer-blobs.ts';
import type { Images } from '../images/store.ts';
import type { Platform } from '../oci/config.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { formatFamiliar, formatReference, parseReference, type Reference, withDefaultTag } from '../oci/reference.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { RegistryClient } from './client.ts';
import { type BlobEvent, RemoteWriter } from './remote-writer.ts';

export type PushEvent =
  /** Before anything is sent. In full. */
  { readonly type: 'pushing'; readonly repository: string } | BlobEvent | ({ readonly type: 'tagged' } & Pushed);

export interface Pushed {
  /** In full; without a tag what was pushed by its digest alone. */
  readonly name: string;
  readonly tag: string | undefined;
  readonly descriptor: Descriptor;
}

export interface PushOptions extends BlobOptions, DocumentOptions {
  /** Of what is there for several platforms, the image for this one; unset: all of it. */
  readonly platform?: Platform;
  readonly allTags?: boolean;
  readonly onEvent?: (event: PushEvent) => void;
  readonly signal: AbortSignal;
}

export async function pushImages(place: Workplace, images: Images, name: string, options: PushOptions): Promise<Pushed[]> {
  const { platform } = options;
  const references = findReferences(images, parseReference(name), name, options.allTags === true);
  const wanted = references.map((reference) => {
    const full = formatReference(reference);
    const subject = (platform ? undefined : images.resolveIndex(full)) ?? images.resolveFor(full, platform);
    return { reference, tag: reference.tag, subject };
  });
  const { domain, path } = references[0] as Reference;
  options.onEvent?.({ type: 'pushing', repository: formatReference({ domain, path }) });
  return pushAll(place, images, wanted, options);
}

/** Under several names, perhaps of several registries; `isByDigest`: in the repositories that they name, without a tag. */
export function pushSubject(
  place: Workplace,
  images: Images,
  subject: Image | ImageIndex,
  references: readonly Reference[],
  isByDigest: boolean,
  options: PushOptions,
): Promise<Pushed[]> {
  const wanted = references.map((reference) => {
    return { subject, reference, tag: isByDigest ? undefined : withDefaultTag(reference).tag };
  });
  return pushAll(place, images, wanted, options);
}

interface Wanted {
  readonly subject: Image | ImageIndex;
  readonly reference: Reference;
  /** Undefined: by its digest alone. */
  readonly tag: string | undefined;
}

async function pushAll(place: Workplace, images: Images, wanted: readonly Wanted[], options: PushOptions): Promise<Pushed[]> {
  const { signal, onEvent = () => {} } = options;
  const client = new RegistryClient({ signal });
  const writers = new Map<string, RemoteWriter>();
  const pushed: Pushed[] = [];
  try {
    for (const { subject, reference, tag } of wanted) {
      const { domain, path } = reference;
      const repository = formatReference({ domain, path });
      const writer =
        writers.get(repository) ?? (await RemoteWriter.open(client, place, images, { domain, path }, options, onEvent));
      writers.set(repository, writer);
      const descriptor = await writer.write(subject, tag);
      const name = formatReference(tag === undefined ? { domain, path, digest: descriptor.digest } : { domain, path, tag });
      pushed.push({ name, tag, descriptor });
      onEvent({ type: 'tagged', name, tag, descriptor });
    }
  } finally {
    await client.close();
  }
  return pushed;
}

/** In docker's words, where it has some (cli/command/image/push.go, daemon/images/image_push.go). */
function findReferences(images: Images, reference: Reference, name: string, isAll: boolean): Reference[] {
  if (reference.digest !== undefined) {
    throw new TbuildError('usage/bad-value', `cannot push ${name}: a registry computes the digests of what it is given`, {
      hint: `push it by a tag: ${formatFamiliar({ domain: reference.domain, path: reference.path, tag: 'latest' })}`,
    });
  }
  if (!isAll) return [withDefaultTag(reference)];
  if (reference.tag !== undefined) throw new TbuildError('usage/conflict', `--all-tags is of a repository: ${name} has a tag`);
  const named = images
    .listTops()
    .flatMap(({ names }) => names.map(parseReference))
    .filter((each) => each.domain === reference.domain && each.path === reference.path && each.digest === undefined)
    .sort((a, b) => ((a.tag as string) < (b.tag as string) ? -1 : 1));
  if (named.length > 0) return named;
  throw new TbuildError('image/unknown', `no image has a tag of ${formatFamiliar(reference)} here`, {
    hint: 'tbuild images lists what is here',
  });
}
