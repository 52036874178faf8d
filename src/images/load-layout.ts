// One image out of an OCI layout's folder, by what its index calls it or by digest, into the store (buildx: build/opt.go resolveDigest).

import { TbuildError } from '../base/errors.ts';
import type { Platform } from '../oci/config.ts';
import { annotations, type Descriptor } from '../oci/descriptor.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { loadError, openFolder } from './archive-files.ts';
import type { Image } from './image.ts';
import { readLayoutImages } from './read-archive.ts';
import { receiveImages } from './receive.ts';
import type { Images } from './store.ts';

export interface LayoutImageOptions {
  readonly folder: string;
  /** A tag, a name, or a digest. */
  readonly wanted: string;
  readonly platform: Platform;
}

/** It gets no name. A layout with a single image gives that one, whatever it is called. */
export async function loadLayoutImage(place: Workplace, store: Images, options: LayoutImageOptions): Promise<Image> {
  const { folder, wanted, platform } = options;
  try {
    const files = openFolder(folder);
    if (!(await files.find('oci-layout'))) throw missing(`${folder} is not the folder of an OCI layout`);
    const found = await readLayoutImages(files, platform, (descriptors) => choose(descriptors, wanted, folder));
    const [image] = found;
    if (!image) throw missing(`the OCI layout ${folder} has no image ${wanted}`);
    const [received] = await receiveImages(place, store, [{ ...image, names: [] }]);
    return received as Image;
  } catch (error) {
    throw loadError(folder, error);
  }
}

function choose(descriptors: readonly Descriptor[], wanted: string, folder: string): Descriptor[] {
  const named = descriptors.filter((descriptor) => descriptor.digest === wanted || namesOf(descriptor).includes(wanted));
  if (named.length > 0) return named;
  const [only, ...others] = descriptors;
  if (only && others.length === 0 && !wanted.startsWith('sha256:')) return [only];
  const known = descriptors.flatMap((descriptor) => namesOf(descriptor)[0] ?? descriptor.digest).slice(0, 10);
  throw missing(`the OCI layout ${folder} has no image ${wanted}`, known.length > 0 ? `it has ${known.join(', ')}` : undefined);
}

/** What a layout calls an image: the tag alone too, where a name is given in full. */
export function namesOf({ annotations: said = {} }: Descriptor): string[] {
  const names = [said[annotations.refName], said[annotations.imageName]].filter((name) => name !== undefined);
  return names.flatMap((name) => [name, ...(/[:]([^:/]+)$/.exec(name)?.slice(1) ?? [])]);
}

const missing = (message: string, hint?: string): TbuildError => new TbuildError('image/unknown', message, { hint });
