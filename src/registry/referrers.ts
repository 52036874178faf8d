// What refers to a manifest (distribution-spec 1.1, "Listing Referrers"): signatures, statements. Registries that do not know the question keep the answer under
// a tag made of the digest ("Referrers Tag Schema").

import type { Digest } from '../base/digest.ts';
import type { HttpResponse } from '../http/exchange.ts';
import { type Descriptor, mediaTypes, parseManifest } from '../oci/descriptor.ts';
import { nextPageQuery, readText } from './answers.ts';
import type { Repository } from './repository.ts';

/** Of what has more of them than anybody reads, the first. */
const MAX_REFERRERS = 10_000;

export async function listReferrers(repository: Repository, digest: Digest): Promise<readonly Descriptor[]> {
  const listed = await readPages(repository, `/referrers/${digest}`, digest);
  return listed ?? (await readPages(repository, `/manifests/${digest.replace(':', '-')}`, digest)) ?? [];
}

/** Undefined: the registry does not know the question. Who leads in a circle is followed once. */
async function readPages(repository: Repository, first: string, digest: Digest): Promise<readonly Descriptor[] | undefined> {
  const subject = `what refers to ${repository.name}@${digest}`;
  const headers = { accept: mediaTypes.index };
  const found: Descriptor[] = [];
  const seen = new Set<string>();
  for (let path: string | undefined = first; path !== undefined && !seen.has(path) && found.length < MAX_REFERRERS; ) {
    seen.add(path);
    const response: HttpResponse = await repository.send({ method: 'GET', path, headers, statuses: [200, ...UNKNOWN], subject });
    if (response.status !== 200 || !isIndex(response)) {
      response.body.destroy();
      return seen.size === 1 ? undefined : found;
    }
    const document = parseManifest(Buffer.from(await readText(response)), subject);
    if (document.kind === 'index') found.push(...document.manifests);
    const query = nextPageQuery(response);
    path = query ? `${first}${query}` : undefined;
  }
  return found;
}

/** How registries say that they have no such thing, or never heard of it. */
const UNKNOWN = [400, 403, 404, 405, 501];

/** What answers everything with a page of its own has no referrers to tell of. */
const isIndex = (response: HttpResponse): boolean => (response.header('content-type') ?? '').startsWith(mediaTypes.index);
