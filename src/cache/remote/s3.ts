// A remote cache in a bucket of S3 or of what speaks as it does: <prefix>entries/<key>/<exact>/<trace> and <prefix>blobs/sha256/<hex>, each written once.
// A blob's name is its SHA-256, which is what S3 checks a body by.

import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { type Digest, hexOf, sha256 } from '../../base/digest.ts';
import { TbuildError } from '../../base/errors.ts';
import type { HttpResponse } from '../../http/exchange.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { CacheAddress } from '../../snapshots/absent-data.ts';
import { type Backend, type BlobContent, ENTRIES_MAX, ENTRY_BYTES_MAX, type EntryName, faulty } from './backend.ts';
import { chooseLeaving, type KeptEntry } from './prune.ts';
import { readText, Service, type ServiceRequest, statusOf } from './service.ts';
import { type AwsCredentials, encode, encodeKey, signRequest } from './sigv4.ts';

type S3Address = Extract<CacheAddress, { type: 's3' }>;

/** One PUT takes no more. */
const OBJECT_MAX_BYTES = 5 * 2 ** 30;
const LIST_MAX_BYTES = 8 << 20;
/** A blob that was written a moment ago may be of an entry that is not written yet. */
const UNSETTLED_MS = 3_600_000;

export function openS3(address: S3Address, signal: AbortSignal, env: NodeJS.ProcessEnv = process.env): Backend {
  const bucket = new Bucket(address, new Service(signal), readCredentials(env));
  const folderOf = (key: Digest, exact: Digest) => `entries/${hexOf(key)}/${hexOf(exact)}/`;
  const entryName = ({ key, exact, trace }: EntryName) => `${folderOf(key, exact)}${hexOf(trace)}`;
  const blobName = ({ digest }: Pick<Descriptor, 'digest'>) => `blobs/sha256/${hexOf(digest)}`;
  return {
    label: `s3://${address.bucket}/${address.prefix}`,
    address,
    find: async function* (key, exact) {
      const found = await bucket.list(folderOf(key, exact));
      // Where it matters which is the newest, names begin with a time: S3's are too coarse.
      for (const { name, bytes } of found.sort((a, b) => (a.name > b.name ? -1 : 1)).slice(0, ENTRIES_MAX)) {
        const entry = bytes > ENTRY_BYTES_MAX ? undefined : await bucket.read(name);
        if (entry) yield entry;
      }
    },
    has: async (name) => (await bucket.head(entryName(name))) !== undefined,
    put: (name, entry) => bucket.put(entryName(name), { digest: sha256(entry), size: entry.length }, { bytes: entry }),
    hasBlob: async (blob) => (await bucket.head(blobName(blob))) === blob.size,
    openBlob: (blob) => bucket.open(blobName(blob)),
    putBlob: (blob, content) => bucket.put(blobName(blob), blob, content),
    prune: async (options) => {
      const entries: KeptEntry[] = [];
      for (const { name, bytes, modified } of await bucket.list('entries/')) {
        const text = bytes > ENTRY_BYTES_MAX ? undefined : await bucket.read(name);
        entries.push({ id: name, bytes, used: modified, text });
      }
      const blobs = await bucket.list('blobs/sha256/');
      const hex = (name: string) => name.slice(name.lastIndexOf('/') + 1);
      const leaving = chooseLeaving(entries, new Map(blobs.map(({ name, bytes }) => [hex(name), bytes])), options);
      for (const { id } of leaving.entries) await bucket.remove(id);
      const settled = Date.now() - UNSETTLED_MS;
      const gone = blobs.filter(({ name, modified }) => leaving.blobs.has(hex(name)) && modified < settled);
      for (const { name } of gone) await bucket.remove(name);
      const sum = (objects: readonly { readonly bytes: number }[]) => objects.reduce((all, { bytes }) => all + bytes, 0);
      const freedBytes = sum(gone) + sum(leaving.entries);
      const keptBytes = sum(blobs) + sum(entries) - freedBytes;
      return { entries: leaving.entries.length, blobs: gone.length, freedBytes, keptBytes };
    },
    close: () => bucket.close(),
  };
}

function readCredentials(env: NodeJS.ProcessEnv): AwsCredentials {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_SESSION_TOKEN: sessionToken } = env;
  if (accessKeyId && secretAccessKey) return { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) };
  throw new TbuildError(
    'auth/no-credentials',
    'a cache in S3 needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment',
  );
}

interface Listed {
  /** Without the prefix. */
  readonly name: string;
  readonly bytes: number;
  readonly modified: number;
}

/** Names are below the address's prefix. */
class Bucket {
  readonly #address: S3Address;
  readonly #service: Service;
  readonly #credentials: AwsCredentials;

  constructor(address: S3Address, service: Service, credentials: AwsCredentials) {
    this.#address = address;
    this.#service = service;
    this.#credentials = credentials;
  }

  async list(folder: string): Promise<Listed[]> {
    const found: Listed[] = [];
    const { prefix } = this.#address;
    for (let token: string | undefined = ''; token !== undefined; ) {
      const query = { 'list-type': '2', prefix: `${prefix}${folder}`, ...(token !== '' && { 'continuation-token': token }) };
      const response = await this.#ask('GET', '', { query, statuses: [200] });
      const text = await readText(response, LIST_MAX_BYTES);
      for (const [, object = ''] of text.matchAll(/<Contents>(.*?)<\/Contents>/gs)) {
        const key = member(object, 'Key') ?? '';
        if (!key.startsWith(prefix)) continue;
        const [bytes, modified] = [Number(member(object, 'Size')), Date.parse(member(object, 'LastModified') ?? '')];
        found.push({ name: key.slice(prefix.length), bytes, modified });
      }
      const next: string | undefined = member(text, 'IsTruncated') === 'true' ? member(text, 'NextContinuationToken') : undefined;
      token = next === token ? undefined : next;
    }
    return found;
  }

  /** A small object; undefined: it has gone since. */
  async read(name: string): Promise<Buffer | undefined> {
    const response = await this.#ask('GET', name, { statuses: [200, 404] });
    const text = await readText(response, ENTRY_BYTES_MAX);
    return response.status === 200 ? Buffer.from(text) : undefined;
  }

  async *open(name: string): AsyncGenerator<Buffer> {
    const { status, body } = await this.#ask('GET', name, { statuses: [200, 404] });
    try {
      if (status === 404) throw faulty(`${name} is not in the bucket ${this.#address.bucket}`);
      for await (const chunk of body as AsyncIterable<Buffer>) yield chunk;
    } finally {
      body.destroy();
    }
  }

  /** Its size; undefined: it is not there. */
  async head(name: string): Promise<number | undefined> {
    const { status, header, body } = await this.#ask('HEAD', name, { statuses: [200, 404] });
    body.destroy();
    return status === 200 ? Number(header('content-length')) : undefined;
  }

  async put(name: string, { digest, size }: Pick<Descriptor, 'digest' | 'size'>, content: BlobContent): Promise<void> {
    if (size > OBJECT_MAX_BYTES)
      throw new TbuildError('unsupported/cache', `a layer of ${size} bytes is too large for one object`);
    const body = () => {
      if ('bytes' in content) return content.bytes;
      return 'file' in content ? createReadStream(content.file) : Readable.from(content.chunks());
    };
    const headers = { 'content-length': String(size) };
    const response = await this.#ask('PUT', name, { statuses: [200], payloadHash: hexOf(digest), headers, body });
    response.body.destroy();
  }

  async remove(name: string): Promise<void> {
    const response = await this.#ask('DELETE', name, { statuses: [204, 200, 404] });
    response.body.destroy();
  }

  close(): Promise<void> {
    return this.#service.close();
  }

  #ask(
    method: ServiceRequest['method'],
    name: string,
    {
      query = {},
      payloadHash = hexOf(sha256('')),
      headers = {},
      ...rest
    }: Pick<ServiceRequest, 'statuses' | 'body'> & {
      readonly query?: Readonly<Record<string, string>>;
      readonly payloadHash?: string;
      readonly headers?: Readonly<Record<string, string>>;
    },
  ): Promise<HttpResponse> {
    const { bucket, prefix, region } = this.#address;
    const url = this.#urlOf(name === '' ? '' : `${prefix}${name}`);
    url.search = Object.entries(query)
      .map(([key, value]) => `${encode(key)}=${encode(value)}`)
      .join('&');
    const credentials = this.#credentials;
    const sign = () => signRequest({ method, url, headers, payloadHash, region, credentials, now: new Date() });
    return this.#service
      .ask({ method, url, headers: sign, subject: `s3://${bucket}/${prefix}${name}`, ...rest })
      .catch((error: unknown) => Promise.reject(statusOf(error) === 403 ? refused(error as TbuildError) : error));
  }

  #urlOf(key: string): URL {
    const { bucket, region, endpoint = `https://s3.${region}.amazonaws.com`, isPathStyle } = this.#address;
    const base = new URL(endpoint);
    if (isPathStyle) return new URL(`${base.origin}${base.pathname.replace(/\/$/, '')}/${encode(bucket)}/${encodeKey(key)}`);
    return new URL(`${base.protocol}//${bucket}.${base.host}/${encodeKey(key)}`);
  }
}

function refused({ message, details }: TbuildError): TbuildError {
  const hint = 'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY say who asks, and the bucket and its policy what he may';
  return new TbuildError('auth/unauthorized', message, { hint, details });
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function member(xml: string, name: string): string | undefined {
  const text = new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];
  return text?.replace(/&(\w+);/g, (whole, entity: string) => ENTITIES[entity] ?? whole);
}
