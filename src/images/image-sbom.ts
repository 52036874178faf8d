// What an image of the store is made of, as a document (docs/attestations.md). Reads its layers where they are; nothing is mounted or written.

import { familiarName, parseReference } from '../oci/reference.ts';
import { cycloneDxDocument } from '../sbom/cyclonedx.ts';
import { findPackages } from '../sbom/find-packages.ts';
import { type ImageFiles, openImageFiles } from '../sbom/image-files.ts';
import { packageUrl } from '../sbom/purl.ts';
import { type Subject, spdxDocument } from '../sbom/spdx.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { Image } from './image.ts';
import { layerOf } from './layer-blobs.ts';

export const sbomFormats = ['spdx-json', 'cyclonedx-json'] as const;
export type SbomFormat = (typeof sbomFormats)[number];

export interface SbomOptions {
  /** What the image is called, in full; undefined: it has no name. */
  readonly name: string | undefined;
  /** Seconds since the epoch; undefined: when the image was made. */
  readonly epoch?: number | undefined;
  /** Who writes the document, as in `tbuild-1.0`. */
  readonly tool: string;
  readonly signal?: AbortSignal;
}

export interface Sbom {
  readonly document: object;
  /** What could not be read, a line each; in the document, too. */
  readonly notes: readonly string[];
  readonly packages: number;
}

export async function describeContents(
  place: Pick<Workplace, 'layers'>,
  image: Image,
  format: SbomFormat,
  options: SbomOptions,
): Promise<Sbom> {
  const state = await place.layers.presentAll(image.layers.map((id) => layerOf(place, image, id)));
  return describeFiles(openImageFiles(place.layers, state), subjectOf(image, options), format, options);
}

export async function describeFiles(
  files: ImageFiles,
  subject: Subject,
  format: SbomFormat,
  { tool, signal }: Pick<SbomOptions, 'tool' | 'signal'>,
): Promise<Sbom> {
  const inventory = await findPackages(files, signal);
  const write = format === 'spdx-json' ? spdxDocument : cycloneDxDocument;
  const document = write(subject, inventory, tool);
  return { document, notes: inventory.notes, packages: inventory.packages.length };
}

/** In seconds since the epoch. */
export function madeAt({ config }: Image): number {
  const made = Math.floor(Date.parse(config.created ?? '') / 1000);
  return Number.isNaN(made) ? 0 : made;
}

/** An image that did not come with a manifest gets one when it is written, as many as there are ways to: its ID is what they share. */
function subjectOf(image: Image, { name, epoch }: SbomOptions): Subject {
  const { id, manifest, config } = image;
  const reference = name === undefined ? undefined : parseReference(name);
  const purl = packageUrl('oci', {
    name: reference?.path.split('/').at(-1)?.toLowerCase() ?? 'image',
    version: manifest ?? id,
    qualifiers: {
      arch: config.architecture,
      repository_url: reference && `${reference.domain}/${reference.path}`,
      tag: reference?.tag,
    },
  });
  return {
    name: name === undefined ? id : familiarName(name),
    identity: { version: manifest ?? id, purl },
    createdAt: epoch ?? madeAt(image),
  };
}
