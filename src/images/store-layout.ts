// The store's index.json: makes an OCI layout of the store, of the images and indexes all of whose blobs are here.

import { renameSync, writeFileSync } from 'node:fs';
import type { Store } from '../base/store.ts';
import { annotations, type Descriptor, mediaTypes } from '../oci/descriptor.ts';
import { isPinned, parseReference } from '../oci/reference.ts';
import type { Image, ImageIndex } from './image.ts';

/** What is whole: `descriptor` of the manifest an image came with, of the index itself. */
export interface Whole<T extends Image | ImageIndex> {
  readonly subject: T;
  readonly descriptor: Descriptor;
}

export function writeLayoutIndex(store: Store, images: readonly Whole<Image>[], indexes: readonly Whole<ImageIndex>[]): void {
  const inside = new Set(indexes.flatMap(({ subject }) => subject.images.map(({ image }) => image.id)));
  const alone = images.filter(({ subject }) => subject.names.length > 0 || !inside.has(subject.id));
  const manifests = [...alone, ...indexes].flatMap(({ subject, descriptor }) => {
    const names = subject.names.filter((name) => !isPinned(name));
    return names.length === 0 ? [descriptor] : names.map((name) => ({ ...descriptor, annotations: nameAnnotations(name) }));
  });
  const temporary = store.path('tmp', `index-${process.pid}.json`);
  writeFileSync(temporary, JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }));
  renameSync(temporary, store.path('index.json'));
}

/** How layouts say an image's name: the whole in containerd's annotation, the tag in the OCI's, as BuildKit and docker save write them. */
export function nameAnnotations(name: string): Record<string, string> {
  const { tag } = parseReference(name);
  return { [annotations.imageName]: name, ...(tag === undefined ? {} : { [annotations.refName]: tag }) };
}
