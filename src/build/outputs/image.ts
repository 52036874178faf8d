// `--output type=oci|docker`: the images of a build with their names and annotations, as a layout or an archive.

import { resolve } from 'node:path';
import type { Writable } from 'node:stream';
import { TbuildError } from '../../base/errors.ts';
import type { Annotate, DocumentOptions } from '../../images/documents.ts';
import type { BlobOptions } from '../../images/layer-blobs.ts';
import { makeParents } from '../../images/place-file.ts';
import { writeImages } from '../../images/save.ts';
import type { Images } from '../../images/store.ts';
import type { Annotations, Compression, Descriptor, Dialect } from '../../oci/descriptor.ts';
import { formatPlatform } from '../../oci/platform.ts';
import { normalizeName } from '../../oci/reference.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import type { BuildImages, BuiltImage } from './built-image.ts';

export interface ArchiveOutput extends ImageForm {
  readonly type: 'oci' | 'docker';
  /** A file, a directory when `tar` is false; `-`: standard output. */
  readonly destination: string;
  readonly tar: boolean;
}

/** The image is in the store anyway; perhaps under more names, and perhaps in registries too. */
export interface ImageOutput extends ImageForm {
  readonly type: 'image';
  /** By its names, or by its digest alone in the repositories that they name; undefined: not at all. */
  readonly push?: 'name' | 'digest';
}

/** How an image goes out, wherever it goes. */
export interface ImageForm {
  /** Undefined: those of the build. */
  readonly names?: readonly string[];
  /** Of the layers that this build made; undefined: gzip. */
  readonly compression?: Compression;
  readonly compressionLevel?: number;
  /** Layers of base images too, which are otherwise kept as they came. */
  readonly forceCompression?: boolean;
  /** Undefined: the OCI's. */
  readonly mediaTypes?: Dialect;
  readonly annotations?: readonly Annotation[];
}

/** BuildKit's exptypes/annotations.go. */
export interface Annotation {
  readonly on: 'manifest' | 'manifest-descriptor' | 'index' | 'index-descriptor';
  /** Formatted; undefined: every platform. */
  readonly platform?: string;
  readonly key: string;
  readonly value: string;
}

export interface ExportedImage {
  readonly descriptor: Descriptor;
  /** In full. */
  readonly names: readonly string[];
}

export async function exportImage(
  workplace: Workplace,
  images: Images,
  { built, index, isForSeveral }: BuildImages,
  output: ArchiveOutput,
  tags: readonly string[],
  stdout: Writable | undefined,
): Promise<ExportedImage> {
  const { type, destination, tar } = output;
  if (index && type === 'docker')
    throw new TbuildError('usage/conflict', 'docker exporter does not currently support exporting manifest lists', {
      hint: isForSeveral ? 'type=oci writes all platforms' : 'type=oci writes attestations too',
    });
  const form = formOptions(output, { built, index });
  if (destination !== '-') makeParents(resolve(destination));
  const names = (output.names ?? tags).map(normalizeName);
  const subject = index ?? (built[0] as BuiltImage).image;
  const [descriptor] = await writeImages(workplace, images, [{ subject, names }], {
    format: type,
    destination: destination === '-' && stdout ? stdout : destination,
    directory: !tar,
    ...form,
  });
  return { descriptor: descriptor as Descriptor, names };
}

/** In the words of those who write images. */
export function formOptions(
  form: ImageForm,
  { built, index }: Pick<BuildImages, 'built' | 'index'>,
): BlobOptions & DocumentOptions {
  const { annotations = [], compressionLevel: level, mediaTypes: dialect } = form;
  const isAttested = built.some(({ said = [] }) => said.length > 0);
  if (!index && annotations.some(({ on }) => on === 'index' || on === 'index-descriptor'))
    throw new TbuildError('usage/conflict', 'index annotations not supported for single platform export');
  return {
    compression: form.compression ?? 'gzip',
    keepsOthers: !form.forceCompression,
    ...(level !== undefined && { level }),
    // Docker's media types have no words for statements: BuildKit turns the OCI's on.
    ...(dialect !== undefined && !isAttested && { dialect }),
    ...(annotations.length > 0 && { annotate: annotator(annotations) }),
  };
}

function annotator(annotations: readonly Annotation[]): Annotate {
  return (where, platform): Annotations => {
    const on = `${platform ? 'manifest' : 'index'}${where === 'descriptor' ? '-descriptor' : ''}`;
    const own = platform && formatPlatform(platform);
    // What is said of one platform counts more than what is said of all.
    const said = [undefined, own].flatMap((wanted) => annotations.filter((each) => each.on === on && each.platform === wanted));
    return Object.fromEntries(said.map(({ key, value }) => [key, value]));
  };
}
