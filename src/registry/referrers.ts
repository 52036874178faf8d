// What refers to a manifest (distribution-spec 1.1, "Listing Referrers"): signatures, statements. Registries that do not know the question keep the answer under
// a tag made of the digest ("Referrers Tag Schema"). No page but the first is asked for: it is for people to read.

import type { Digest } from '../base/digest.ts';
import type { HttpResponse } from '../http/exchange.ts';
import { type Descriptor, mediaTypes, parseManifest } from '../oci/descriptor.ts';
import { readText } from './answers.ts';
import type { Repository } from './repository.ts';

export async function listReferrers(repository: Repository, digest: Digest): Promise<readonly Descriptor[]> {
  const subject = `what refers to ${repository.name}@${digest}`;
  const headers = { accept: mediaTypes.index };
  for (const path of [`/referrers/${digest}`, `/manifests/${digest.replace(':', '-')}`]) {
    const response = await repository.send({ method: 'GET', path, headers, statuses: [200, ...UNKNOWN], subject });
    if (response.status === 200 && isIndex(response)) {
      const document = parseManifest(Buffer.from(await readText(response)), subject);
      return document.kind === 'index' ? document.manifests : [];
    }
    response.body.destroy();
  }
  return [];
}

/** How registries say that they have no such thing, or never heard of it. */
const UNKNOWN = [400, 403, 404, 405, 501];

/** What answers everything with a page of its own has no referrers to tell of. */
const isIndex = (response: HttpResponse): boolean => (response.header('content-type') ?? '').startsWith(mediaTypes.index);
