// An OCI layout, a folder's or an archive's, as a place that manifests and blobs are taken from just as from a registry.

import { type Digest, hexOf } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { ArchiveFiles } from '../images/archive-files.ts';
import { namesOf } from '../images/load-layout.ts';
import { findBlob, readBlob, readDocument, readIndex } from '../images/read-archive.ts';
import { type Descriptor, mediaTypes, parseManifest } from '../oci/descriptor.ts';
import { fileSource } from './blob-source.ts';
import type { ManifestSource } from './copy.ts';
import type { FetchedManifest } from './repository.ts';

/** What `wanted` stands for in it, a tag, a name or a digest; undefined: the one image that it has. `path`: as messages call it. */
export async function openLayout(
  files: ArchiveFiles,
  path: string,
  wanted: string | undefined,
): Promise<{ readonly from: ManifestSource; readonly root: FetchedManifest }> {
  if (!(await files.find('oci-layout'))) throw new TbuildError('image/bad-archive', `${path} is no OCI layout`);
  const { manifests } = await readIndex(files);
  const isNamed = (each: Descriptor) => wanted === undefined || each.digest === wanted || namesOf(each).includes(wanted);
  const [descriptor, ...others] = manifests.filter(isNamed);
  if (!descriptor) throw new TbuildError('image/unknown', `${path} has no image${wanted === undefined ? '' : ` ${wanted}`}`);
  if (others.some(({ digest }) => digest !== descriptor.digest)) {
    const names = manifests.flatMap((each) => namesOf(each)[0] ?? each.digest).slice(0, 10);
    throw new TbuildError('image/ambiguous', `${path} has several images`, { hint: `name one of them: ${names.join(', ')}` });
  }
  const { bytes } = await readDocument(files, descriptor);
  return { from: layoutSource(files), root: typed({ descriptor, bytes }, path) };
}

/** Who has a manifest may not know its type; the document says. */
export function typed({ descriptor: { digest, size }, bytes }: FetchedManifest, name: string): FetchedManifest {
  return { descriptor: { mediaType: parseManifest(bytes, `the manifest of ${name}`).mediaType, digest, size }, bytes };
}

function layoutSource(files: ArchiveFiles): ManifestSource {
  return {
    name: files.label,
    fetchManifest: async (digest: Digest) => {
      const size = (await files.find(`blobs/sha256/${hexOf(digest)}`))?.size ?? 0;
      const descriptor = { mediaType: mediaTypes.manifest, digest, size };
      return { descriptor, bytes: (await readDocument(files, descriptor)).bytes };
    },
    fetchBlob: (blob, limitBytes) => readBlob(files, blob, limitBytes),
    openBlob: async (blob) => fileSource(blob, (await findBlob(files, blob)).path),
  };
}
