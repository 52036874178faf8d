// A remote cache in the cache service of GitHub Actions (actions/toolkit, cacheTwirpClient.ts: version 2). Its keys are immutable, which is what entries want;
// it lists nothing, and of several keys with one beginning it gives the newest. So of the traces
// of one step with the same exact inputs the newest counts, and one that saw just what is here now, for which entries are there under a second name.

import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { type Digest, hexOf, sha256 } from '../../base/digest.ts';
import { TbuildError } from '../../base/errors.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { CacheAddress } from '../../snapshots/absent-data.ts';
import { type Backend, type BlobContent, ENTRY_BYTES_MAX, type EntryName, faulty } from './backend.ts';
import { readText, Service, statusOf } from './service.ts';

const SERVICE = 'twirp/github.actions.results.api.v1.CacheService';
/** What others keep under equal keys is something else. */
const VERSION = hexOf(sha256('tbuild cache 1'));
const ANSWER_MAX_BYTES = 1 << 20;
/** Azure takes a blob in one request or, where it is larger than this, in blocks. */
const BLOCK_BYTES = 64 << 20;

export function openGha(
  { url, scope }: Extract<CacheAddress, { type: 'gha' }>,
  signal: AbortSignal,
  env: NodeJS.ProcessEnv = process.env,
): Backend {
  const cache = new GhaCache(url, scope, new Service(signal), readToken(env));
  const beginning = (key: Digest, exact: Digest) => `entry-${hexOf(key)}-${hexOf(exact)}-`;
  const entryName = ({ key, exact, trace }: EntryName) => `${beginning(key, exact)}${hexOf(trace)}`;
  const blobName = ({ digest }: Descriptor) => `blob-${hexOf(digest)}`;
  return {
    label: `gha ${scope}`,
    findsNewestOnly: true,
    address: { type: 'gha', url, scope },
    find: async function* (key, exact) {
      const found = await cache.find(beginning(key, exact), true);
      if (found) yield await cache.read(found);
    },
    has: async (name) => (await cache.find(entryName(name), false)) !== undefined,
    put: (name, entry) => cache.put(entryName(name), entry.length, { bytes: entry }),
    hasBlob: async (blob) => (await cache.find(blobName(blob), false)) !== undefined,
    openBlob: (blob) => cache.open(blobName(blob)),
    putBlob: (blob, content) => cache.put(blobName(blob), blob.size, content),
    prune: () =>
      Promise.reject(
        new TbuildError('unsupported/cache', "a job's token may not remove what is in the cache of GitHub Actions", {
          hint: 'GitHub removes what nobody has used for a week, and the oldest beyond its limit; gh cache delete removes others',
        }),
      ),
    close: () => cache.close(),
  };
}

function readToken({ ACTIONS_RUNTIME_TOKEN: token }: NodeJS.ProcessEnv): string {
  if (token) return token;
  throw new TbuildError('auth/no-credentials', 'the cache of GitHub Actions needs ACTIONS_RUNTIME_TOKEN in the environment');
}

type Answer = Readonly<Record<string, unknown>>;

/** Names are those of this scope. */
class GhaCache {
  readonly #url: string;
  readonly #scope: string;
  readonly #service: Service;
  readonly #token: string;

  constructor(url: string, scope: string, service: Service, token: string) {
    this.#url = url.replace(/\/*$/, '/');
    this.#scope = scope;
    this.#service = service;
    this.#token = token;
  }

  /** Where it can be read; undefined: it is not there. `isBeginning`: the newest that begins so. */
  async find(name: string, isBeginning: boolean): Promise<URL | undefined> {
    const key = this.#keyOf(name);
    const answer = await this.#call('GetCacheEntryDownloadURL', { key, restore_keys: isBeginning ? [key] : [] });
    const matched = text(answer, 'matched_key', 'matchedKey');
    // The service takes what begins with a key for it, too.
    if (answer?.ok !== true || (!isBeginning && matched !== '' && matched !== key)) return undefined;
    return this.#linkOf(text(answer, 'signed_download_url', 'signedDownloadUrl'));
  }

  async read(link: URL): Promise<Buffer> {
    const response = await this.#get(link);
    return Buffer.from(await readText(response, ENTRY_BYTES_MAX));
  }

  async *open(name: string): AsyncGenerator<Buffer> {
    const link = await this.find(name, false);
    if (!link) throw faulty(`${name} is not in the cache of GitHub Actions`);
    const { body } = await this.#get(link);
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) yield chunk;
    } finally {
      body.destroy();
    }
  }

  /** Who is first has made it: another's is as good. */
  async put(name: string, size: number, content: BlobContent): Promise<void> {
    const key = this.#keyOf(name);
    const created = await this.#call('CreateCacheEntry', { key });
    if (created?.ok !== true) return;
    const link = this.#linkOf(text(created, 'signed_upload_url', 'signedUploadUrl'));
    await (size <= BLOCK_BYTES ? this.#putWhole(link, size, content) : this.#putBlocks(link, content));
    const finished = await this.#call('FinalizeCacheEntryUpload', { key, size_bytes: String(size) });
    if (finished?.ok !== true)
      throw new TbuildError('registry/cache-service', `${name} was not taken by the cache of GitHub Actions`);
  }

  async #putWhole(link: URL, size: number, content: BlobContent): Promise<void> {
    const headers = { 'x-ms-blob-type': 'BlockBlob', 'content-length': String(size), 'content-type': 'application/octet-stream' };
    await this.#upload(link, headers, () => bodyOf(content));
  }

  /** Put Block and Put Block List (learn.microsoft.com/rest/api/storageservices). */
  async #putBlocks(link: URL, content: BlobContent): Promise<void> {
    const ids: string[] = [];
    for await (const block of blocksOf(content)) {
      const id = Buffer.from(String(ids.length).padStart(6, '0')).toString('base64');
      ids.push(id);
      await this.#upload(
        withQuery(link, { comp: 'block', blockid: id }),
        { 'content-length': String(block.length) },
        () => block,
      );
    }
    const list = `<?xml version="1.0" encoding="utf-8"?><BlockList>${ids.map((id) => `<Latest>${id}</Latest>`).join('')}</BlockList>`;
    await this.#upload(withQuery(link, { comp: 'blocklist' }), { 'content-type': 'application/xml' }, () => list);
  }

  async #upload(url: URL, headers: Readonly<Record<string, string>>, body: () => string | Buffer | Readable): Promise<void> {
    const subject = 'an upload to the cache of GitHub Actions';
    const response = await this.#service.ask({ method: 'PUT', url, headers: () => headers, body, statuses: [201, 200], subject });
    response.body.destroy();
  }

  #get(link: URL) {
    const subject = 'a download from the cache of GitHub Actions';
    return this.#service.ask({ method: 'GET', url: link, headers: () => ({}), statuses: [200], subject });
  }

  /** Undefined: it is not there, or already. */
  async #call(method: string, request: Answer): Promise<Answer | undefined> {
    const body = JSON.stringify({ ...request, version: VERSION });
    const headers = { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' };
    const url = new URL(`${SERVICE}/${method}`, this.#url);
    const subject = `the cache of GitHub Actions, ${method}`;
    try {
      const asked = { method: 'POST', url, headers: () => headers, body: () => body, statuses: [200], subject } as const;
      const answer: unknown = JSON.parse(await readText(await this.#service.ask(asked), ANSWER_MAX_BYTES));
      return typeof answer === 'object' && answer !== null ? (answer as Answer) : undefined;
    } catch (error) {
      if (statusOf(error) === 404 || statusOf(error) === 409) return undefined;
      if (!(error instanceof SyntaxError)) throw error;
      throw new TbuildError('registry/cache-service', `${subject}: the answer is no JSON`, { cause: error });
    }
  }

  #keyOf(name: string): string {
    // 512 characters are a key's most, and a comma is none of them.
    return `tbuild-${hexOf(sha256(this.#scope)).slice(0, 16)}-${name}`;
  }

  #linkOf(link: string): URL {
    if (URL.canParse(link) && /^https?:/.test(link)) return new URL(link);
    throw new TbuildError('registry/cache-service', 'the cache of GitHub Actions has given no URL');
  }

  close(): Promise<void> {
    return this.#service.close();
  }
}

/** Twirp writes names in either way. */
function text(answer: Answer | undefined, ...names: string[]): string {
  return names.map((name) => answer?.[name]).find((value): value is string => typeof value === 'string') ?? '';
}

/** The signature in it is of the query as it stands. */
function withQuery(link: URL, more: Readonly<Record<string, string>>): URL {
  const added = Object.entries(more).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  const url = new URL(link);
  url.search = [url.search.replace(/^\?/, ''), ...added].filter((part) => part !== '').join('&');
  return url;
}

function bodyOf(content: BlobContent): Buffer | Readable {
  if ('bytes' in content) return content.bytes;
  return 'file' in content ? createReadStream(content.file) : Readable.from(content.chunks());
}

async function* blocksOf(content: BlobContent): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let bytes = 0;
  const body = bodyOf(content);
  for await (const chunk of Buffer.isBuffer(body) ? [body] : (body as AsyncIterable<Buffer>)) {
    held.push(chunk);
    bytes += chunk.length;
    if (bytes < BLOCK_BYTES) continue;
    yield Buffer.concat(held);
    held = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(held);
}
