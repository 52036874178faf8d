// `--output type=registry`, `--push`: what a build made goes to registries, under each of its names. Loaded only when it is asked for.

import { TbuildError } from '../../base/errors.ts';
import type { Images } from '../../images/store.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { parseReference, type Reference } from '../../oci/reference.ts';
import { type PushEvent, pushSubject } from '../../registry/push.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import type { BuildImages, BuiltImage } from './built-image.ts';
import { type ExportedImage, formOptions, type ImageOutput } from './image.ts';

export async function pushBuild(
  workplace: Workplace,
  images: Images,
  result: BuildImages,
  output: ImageOutput,
  tags: readonly string[],
  signal: AbortSignal,
  onEvent: (event: PushEvent) => void,
): Promise<ExportedImage> {
  const references = referencesOf(output, tags);
  const isByDigest = output.push === 'digest';
  const subject = result.index ?? (result.built[0] as BuiltImage).image;
  const options = { ...formOptions(output, result), signal, onEvent };
  const pushed = await pushSubject(workplace, images, subject, references, isByDigest, options);
  return { descriptor: pushed[0]?.descriptor as Descriptor, names: pushed.map(({ name }) => name) };
}

/** Throws where they are none that can be pushed to: what is known before a build is to be said before it. */
export function referencesOf({ names, push }: ImageOutput, tags: readonly string[]): Reference[] {
  const references = (names ?? tags).map(parseReference);
  if (references.length === 0) {
    throw new TbuildError('usage/missing-value', 'tag is needed when pushing to registry', {
      hint: '-t REGISTRY/NAME says where to',
    });
  }
  for (const reference of references) checkReference(reference, push === 'digest');
  return references;
}

/** BuildKit's util/push. */
function checkReference({ tag, digest, path }: Reference, isByDigest: boolean): void {
  if (digest !== undefined) {
    throw new TbuildError(
      'usage/bad-value',
      `cannot push ${path}@${digest}: a registry computes the digests of what it is given`,
    );
  }
  if (isByDigest && tag !== undefined) throw new TbuildError('usage/conflict', `can't push tagged ref ${path}:${tag} by digest`);
}
