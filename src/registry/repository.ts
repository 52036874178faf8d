// A repository in a registry: its manifests, blobs and tags, as they are asked for (distribution-spec 1.1, "pull"). Documents are checked against their
// digests here; whoever takes a blob as a stream checks its digest, its size is seen to. What is built on this (push) goes through `send`.

import { setTimeout as sleep } from 'node:timers/promises';
import { type Digest, sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { HttpResponse } from '../http/exchange.ts';
import { type Descriptor, MAX_MANIFEST_BYTES, mediaTypes } from '../oci/descriptor.ts';
import { formatReference, type Reference } from '../oci/reference.ts';
import { nextPageQuery, readBytes, readText } from './answers.ts';
import type { Asked, Connection } from './connection.ts';
import { MAX_TAGS_BYTES, type RegistryLimits } from './limits.ts';

/** What a tag or a digest stands for, in the registry's own bytes. */
export interface FetchedManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

/** A repository at one of the hosts that have it. */
export interface Place {
  readonly connection: Connection;
  readonly path: string;
}

export interface RepositoryAsked extends Omit<Asked, 'scopes'> {
  /** Path of another repository of the registry that is read from. */
  readonly mountedFrom?: string;
}

/** What work of several requests is given for one try. */
export interface Tries {
  readonly once: (asked: RepositoryAsked) => Promise<HttpResponse>;
  readonly hasMoved: () => void;
  readonly limits: RegistryLimits;
}

const MANIFEST_TYPES = [mediaTypes.manifest, mediaTypes.dockerManifest, mediaTypes.index, mediaTypes.dockerIndex];

export class Repository {
  /** In full, without tag and digest: `docker.io/library/debian`. */
  readonly name: string;
  readonly signal: AbortSignal;
  readonly #places: readonly Place[];
  readonly #actions: readonly string[];
  /** The place that has answered: what belongs together comes from one. */
  #place: Place | undefined;

  constructor({ domain, path }: Reference, places: readonly Place[], actions: readonly string[], signal: AbortSignal) {
    this.name = formatReference({ domain, path });
    this.#places = places;
    this.#actions = actions;
    this.signal = signal;
  }

  /** What a tag stands for now, without its bytes; undefined: it is not there, or the registry does not say without sending it all. */
  async headManifest(tagOrDigest: string): Promise<Descriptor | undefined> {
    const response = await this.#head(this.#manifest(tagOrDigest));
    const digest = response && readDigest(response);
    if (!response || !digest) return undefined;
    return { mediaType: mediaTypeOf(response), digest, size: Number(response.header('content-length')) };
  }

  /** Checked against the digest asked for, or the one that the registry says. */
  async fetchManifest(tagOrDigest: string): Promise<FetchedManifest> {
    const asked = this.#manifest(tagOrDigest);
    const response = await this.#ask({ method: 'GET', ...asked, statuses: [200] });
    const bytes = await this.#readWhole(response, MAX_MANIFEST_BYTES, `the manifest of ${asked.subject}`);
    const digest = sha256(bytes);
    const promised = isDigest(tagOrDigest) ? tagOrDigest : readDigest(response);
    if (promised !== undefined && promised !== digest) {
      throw new TbuildError('registry/wrong-digest', `${asked.subject}: the manifest that should be ${promised} is ${digest}`);
    }
    return { descriptor: { mediaType: mediaTypeOf(response), digest, size: bytes.length }, bytes };
  }

  /** A small one, as a config is. Throws `registry/wrong-digest` for any other bytes. */
  async fetchBlob(blob: Descriptor, limitBytes: number): Promise<Buffer> {
    if (blob.size > limitBytes) {
      const what = `the blob ${blob.digest} of ${this.name} has ${blob.size} bytes`;
      throw new TbuildError('registry/bad-answer', `${what}, more than the ${limitBytes} allowed`);
    }
    const chunks: Buffer[] = [];
    for await (const chunk of this.openBlob(blob)) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    if (sha256(bytes) === blob.digest) return bytes;
    throw new TbuildError('registry/wrong-digest', `the blob of ${this.name} that should be ${blob.digest} is ${sha256(bytes)}`);
  }

  /** A blob's size; undefined: it is not there. */
  async headBlob(digest: Digest): Promise<number | undefined> {
    const response = await this.#head(this.#blob(digest));
    return response && Number(response.header('content-length'));
  }

  /** Not by its status: a mirror that has it not is no answer. */
  async #head(asked: Pick<Asked, 'path' | 'subject' | 'headers'>): Promise<HttpResponse | undefined> {
    try {
      const response = await this.#ask({ method: 'HEAD', ...asked, statuses: [200] });
      response.body.destroy();
      return response;
    } catch (error) {
      const status = error instanceof TbuildError ? error.details?.status : undefined;
      if (status === 404 || status === 405) return undefined;
      throw error;
    }
  }

  /** A blob's bytes from `start` on, as many as its descriptor says. Where the connection breaks it goes on from there. The digest is not checked. */
  async *openBlob(blob: Descriptor, start = 0): AsyncGenerator<Buffer, void> {
    const asked = this.#blob(blob.digest);
    let offset = start;
    let begun = start;
    for (let attempt = 1; ; attempt++) {
      try {
        for await (const chunk of this.#openFrom(blob, offset)) {
          offset += chunk.length;
          yield chunk;
        }
        return;
      } catch (error) {
        this.signal.throwIfAborted();
        const { connection } = this.#place as Place;
        if (offset - begun >= connection.limits.progressBytes) {
          attempt = 1;
          begun = offset;
        }
        const pauseMs = connection.pauseMs(error, attempt);
        if (pauseMs === undefined)
          throw await connection.explain(error, { ...asked, scopes: this.#scopes(this.#place as Place) });
        await sleep(pauseMs, undefined, { signal: this.signal });
      }
    }
  }

  async *#openFrom(blob: Descriptor, offset: number): AsyncGenerator<Buffer, void> {
    const asked = this.#blob(blob.digest);
    const headers: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
    const response = await this.#ask({ method: 'GET', ...asked, headers, statuses: offset === 0 ? [200] : [200, 206] });
    const { body } = response;
    try {
      const wrongSize = (said: string) =>
        new TbuildError('registry/wrong-size', `${asked.subject} should have ${blob.size} bytes, and ${said}`);
      // Who knows no ranges sends it all again.
      let skip = response.status === 206 ? 0 : offset;
      const start = response.status === 206 ? readStart(response) : 0;
      if (start !== (response.status === 206 ? offset : 0)) throw wrongSize('another part was sent than was asked for');
      const length = response.header('content-length');
      if (length !== undefined && Number(length) !== blob.size - start) throw wrongSize(`${Number(length) + start} are sent`);
      let received = start;
      for await (const chunk of body as AsyncIterable<Buffer>) {
        received += chunk.length;
        if (received > blob.size) throw wrongSize('more are sent');
        const wanted = chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - wanted.length;
        if (wanted.length > 0) yield wanted;
      }
      if (received < blob.size) throw new Truncated(`it ended after ${received} of ${blob.size} bytes`);
    } finally {
      body.destroy();
    }
  }

  /** Under a tag, or under its digest. */
  async putManifest({ mediaType, digest }: Descriptor, bytes: Buffer, tagOrDigest: string): Promise<void> {
    const { path, subject } = this.#manifest(tagOrDigest);
    const headers = { 'content-type': mediaType };
    const response = await this.#ask({ method: 'PUT', path, subject, headers, body: () => bytes, statuses: [201, 200, 202] });
    response.body.destroy();
    const said = readDigest(response);
    if (said === undefined || said === digest) return;
    throw new TbuildError(
      'registry/wrong-digest',
      `${subject}: the manifest ${digest} was pushed, and the registry calls it ${said}`,
    );
  }

  async *listTags(): AsyncGenerator<string, void> {
    let path: string | undefined = '/tags/list?n=1000';
    const seen = new Set<string>();
    while (path !== undefined && !seen.has(path)) {
      seen.add(path);
      const response: HttpResponse = await this.#ask({ method: 'GET', path, statuses: [200], subject: this.name });
      const { tags } = parseTags(await readText(response, MAX_TAGS_BYTES), this.name);
      yield* tags;
      path = nextTags(response, this.name);
    }
  }

  /** For what is built on this: anything below the repository, or at a URL that the registry gave. `path` begins with `/`, or is a URL. */
  send(asked: RepositoryAsked): Promise<HttpResponse> {
    return this.#ask(asked);
  }

  /** For what takes several requests, which must not go to a mirror: see `Connection.persist`. */
  persist<T>(subject: string, work: (tries: Tries) => Promise<T>): Promise<T> {
    const place = this.#place ?? (this.#places[0] as Place);
    const { connection } = place;
    const once: Tries['once'] = (each) => connection.once(this.#located(place, each));
    return connection.persist({ subject, scopes: this.#scopes(place) }, (hasMoved) =>
      work({ once, hasMoved, limits: connection.limits }),
    );
  }

  #manifest(tagOrDigest: string) {
    return {
      path: `/manifests/${tagOrDigest}`,
      headers: { accept: MANIFEST_TYPES.join(', ') },
      subject: isDigest(tagOrDigest) ? `${this.name}@${tagOrDigest}` : `${this.name}:${tagOrDigest}`,
    };
  }

  #blob(digest: Digest) {
    return { path: `/blobs/${digest}`, subject: `the blob ${digest} of ${this.name}` };
  }

  /** Of the places, the first that has what is asked for; from then on that one alone. */
  async #ask(asked: RepositoryAsked): Promise<HttpResponse> {
    if (this.#place) return this.#askAt(this.#place, asked);
    const failures: TbuildError[] = [];
    for (const place of this.#places) {
      try {
        // There is somebody else to ask: nobody waits for a mirror.
        const response = await this.#askAt(place, place.connection.endpoint.isMirror ? { ...asked, isOnce: true } : asked);
        this.#place = place;
        return response;
      } catch (error) {
        if (!place.connection.endpoint.isMirror || !(error instanceof TbuildError)) throw withMirrors(error, failures);
        failures.push(error);
      }
    }
    throw failures.at(-1);
  }

  #askAt(place: Place, asked: RepositoryAsked): Promise<HttpResponse> {
    return place.connection.send(this.#located(place, asked));
  }

  #located(place: Place, { mountedFrom, ...asked }: RepositoryAsked): Asked {
    const isBelow = asked.path.startsWith('/') && !asked.path.startsWith('/v2/');
    const others = mountedFrom === undefined ? [] : [`repository:${mountedFrom}:pull`];
    const path = isBelow ? `/v2/${place.path}${asked.path}` : asked.path;
    return { ...asked, path, scopes: [...this.#scopes(place), ...others] };
  }

  #scopes({ path }: Place): string[] {
    return [`repository:${path}:${this.#actions.join(',')}`];
  }

  /** A body that breaks off is a failure of the network like any other, and short enough to be asked for again by the user. */
  async #readWhole(response: HttpResponse, limitBytes: number, what: string): Promise<Buffer> {
    try {
      return await readBytes(response, limitBytes, what);
    } catch (error) {
      this.signal.throwIfAborted();
      const place = this.#place as Place;
      throw await place.connection.explain(error, { subject: what, scopes: this.#scopes(place) });
    }
  }
}

/** As the network's failures are: another try may do better. */
class Truncated extends Error {
  readonly code = 'UND_ERR_TRUNCATED';
}

const isDigest = (text: string): text is Digest => text.startsWith('sha256:');

/** What mirrors said before the registry itself failed. */
function withMirrors(error: unknown, failures: readonly TbuildError[]): unknown {
  if (failures.length === 0 || !(error instanceof TbuildError)) return error;
  const { code, message, cause, details } = error;
  const hint = `its mirrors failed, too: ${failures.map((failure) => failure.message).join('; ')}`;
  return new TbuildError(code, message, { cause, details, hint });
}

/** Without parameters; a server that has no idea says so in several ways. */
function mediaTypeOf(response: HttpResponse): string {
  return (response.header('content-type') ?? '').replace(/;.*/s, '').trim();
}

/** What the registry says it has. */
export function readDigest(response: HttpResponse): Digest | undefined {
  const text = response.header('docker-content-digest');
  return text !== undefined && /^sha256:[0-9a-f]{64}$/.test(text) ? (text as Digest) : undefined;
}

function readStart(response: HttpResponse): number {
  return Number(/^bytes (\d+)-/.exec(response.header('content-range') ?? '')?.[1] ?? Number.NaN);
}

function parseTags(text: string, name: string): { tags: string[] } {
  try {
    const { tags } = JSON.parse(text) as { tags?: unknown };
    // Go writes null for none.
    const list = tags ?? [];
    if (Array.isArray(list) && list.every((tag) => typeof tag === 'string' && /^\w[\w.-]{0,127}$/.test(tag)))
      return { tags: list };
  } catch {
    // As below.
  }
  throw new TbuildError('registry/bad-answer', `the registry's list of the tags of ${name} is none`);
}

function nextTags(response: HttpResponse, name: string): string | undefined {
  const query = nextPageQuery(response);
  if (query === undefined) return undefined;
  if (query !== '') return `/tags/list${query}`;
  throw new TbuildError('registry/bad-answer', `the registry's list of the tags of ${name} goes on at no page`);
}
