// What `--metadata-file` says of a build, under buildx's names (its docs: buildx_build.md, "metadata-file").

import type { BuildImages, BuiltImage } from './built-image.ts';
import type { ExportedImage } from './image.ts';

export type Metadata = Readonly<Record<string, unknown>>;

/** `exported`: what an archive holds. Without one the store's image is meant, whose digest is its ID, as docker's own store has it. */
export function describeBuild(
  { built, index }: BuildImages,
  names: readonly string[],
  exported: ExportedImage | undefined,
): Metadata {
  const { image } = built[0] as BuiltImage;
  const allNames = exported?.names ?? names;
  return {
    ...(!index && { 'containerimage.config.digest': image.id }),
    ...(exported && { 'containerimage.descriptor': exported.descriptor }),
    'containerimage.digest': exported?.descriptor.digest ?? index?.id ?? image.id,
    ...(allNames.length > 0 && { 'image.name': allNames.join(',') }),
  };
}
