// What there is in registries: Docker Hub by its search (the API of version 1, which docker search asks), any other by its catalog, and the tags of a
// repository. Answers are read page by page, no further than is wanted.

import { TbuildError } from '../base/errors.ts';
import type { HttpResponse } from '../http/exchange.ts';
import { asList, asMembers, asString, optional, parseJson } from '../oci/document.ts';
import { formatFamiliar, parseReference } from '../oci/reference.ts';
import { nextPageQuery, readText } from './answers.ts';
import { RegistryClient } from './client.ts';

export interface FoundRepository {
  readonly name: string;
  readonly description: string;
  readonly stars: number;
  readonly isOfficial: boolean;
  /** Where tags were asked for. */
  readonly tag?: string;
}

export interface SearchOptions {
  /** At most. */
  readonly limit: number;
  /** The term is a repository, whose tags are wanted. */
  readonly listsTags: boolean;
  readonly signal: AbortSignal;
}

const HUB = 'index.docker.io';
/** What a token must be for. */
const CATALOG = ['registry:catalog:*'];
/** Docker Hub gives no more at once. */
const HUB_PAGE = 100;
/** A catalog is looked through no further: it is in the order of names, and a registry may have millions. */
const MOST_PAGES = 100;

export async function searchRegistry(term: string, options: SearchOptions): Promise<FoundRepository[]> {
  const client = new RegistryClient({ signal: options.signal });
  try {
    if (options.listsTags) return await listTags(client, term, options.limit);
    const [, host, rest = ''] = /^([^/]*[.:][^/]*|localhost)(?:\/(.*))?$/.exec(term) ?? [];
    if (host === undefined || host === 'docker.io' || host === HUB)
      return await searchHub(client, host === undefined ? term : rest, options.limit);
    return await searchCatalog(client, host, rest, options.limit);
  } finally {
    await client.close();
  }
}

async function listTags(client: RegistryClient, name: string, limit: number): Promise<FoundRepository[]> {
  const reference = parseReference(name);
  const { domain, path } = reference;
  const repository = await client.open(reference, { actions: ['pull'] });
  const found: FoundRepository[] = [];
  for await (const tag of repository.listTags()) {
    if (found.length === limit) break;
    found.push({ ...unknown, name: formatFamiliar({ domain, path }), tag });
  }
  return found;
}

const unknown = { description: '', stars: 0, isOfficial: false } as const;

async function searchHub(client: RegistryClient, term: string, limit: number): Promise<FoundRepository[]> {
  if (term === '') throw new TbuildError('usage/bad-value', 'there is nothing to search for');
  const query = new URLSearchParams({ q: term, n: String(Math.min(limit, HUB_PAGE)) });
  const path = `/v1/search?${query}`;
  const response = await client.ask(HUB, {
    method: 'GET',
    path,
    statuses: [200],
    scopes: CATALOG,
    subject: `the search for ${term}`,
  });
  const where = `the answer of ${HUB}`;
  const members = asMembers(parseJson(Buffer.from(await readText(response)), where), where);
  return asList(members.get('results') ?? [], `${where}, results`, asFound).slice(0, limit);
}

function asFound(value: unknown, where: string): FoundRepository {
  const members = asMembers(value, where);
  const stars = members.get('star_count');
  return {
    name: asString(members.get('name'), `${where}, name`),
    description: optional(members, 'description', where, asString) ?? '',
    stars: typeof stars === 'number' ? stars : 0,
    isOfficial: members.get('is_official') === true,
  };
}

/** Those with the term in their names, in the registry's order. */
async function searchCatalog(client: RegistryClient, host: string, term: string, limit: number): Promise<FoundRepository[]> {
  const subject = `the catalog of ${host}`;
  const found: FoundRepository[] = [];
  let path: string | undefined = '/v2/_catalog?n=1000';
  for (let page = 0; path !== undefined && page < MOST_PAGES; page++) {
    const response: HttpResponse = await client.ask(host, {
      method: 'GET',
      path,
      statuses: [200],
      scopes: CATALOG,
      subject,
    });
    const members = asMembers(parseJson(Buffer.from(await readText(response)), subject), subject);
    for (const name of asList(members.get('repositories') ?? [], subject, asString)) {
      if (name.includes(term)) found.push({ ...unknown, name: `${host}/${name}` });
      if (found.length === limit) return found;
    }
    const query = nextPageQuery(response);
    path = query ? `/v2/_catalog${query}` : undefined;
  }
  return found;
}
