// A blob goes up (distribution-spec 1.1, "Pushing blobs"): mounted from another repository where the registry has it there; in one PUT where its digest
// is known; as a stream while it is still being made; in chunks where the registry wants them (OCI-Chunk-Min-Length). What broke off goes on from what the
// registry says it has. Whether the blob is there already is for the caller to ask.

import { Readable } from 'node:stream';
import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { HttpResponse } from '../http/exchange.ts';
import { redirectTarget } from '../http/url.ts';
import type { BlobSource } from './blob-source.ts';
import { Refusal } from './failure.ts';
import { type Repository, readDigest, type Tries } from './repository.ts';

export interface UploadOptions {
  /** Path of a repository of the same registry that may have it, as this digest. */
  readonly mount?: { readonly digest: Digest; readonly from: string } | undefined;
  /** Of the bytes sent; less than before, where some have to be sent again. */
  readonly onProgress?: (bytes: number) => void;
}

/** A blob that is whole, or one that grows. */
export async function uploadBlob(
  repository: Repository,
  source: BlobSource,
  options: UploadOptions = {},
): Promise<'mounted' | 'uploaded'> {
  const subject = source.known ? `the blob ${source.known.digest} of ${repository.name}` : `a new layer of ${repository.name}`;
  const upload = new Upload(source, options, subject, repository.name);
  return repository.persist(subject, (tries) => upload.try(tries));
}

const CHUNK_BYTES = 16 << 20;
/** How often an upload that the registry has lost is begun anew, beside the tries of failed requests. */
const RESTARTS = 2;

class Upload {
  readonly #source: BlobSource;
  readonly #options: UploadOptions;
  readonly #subject: string;
  readonly #repository: string;
  /** Where it goes on; undefined: it has not begun. */
  #location: string | undefined;
  #offset = 0;
  #leastBytes: number | undefined;
  #hasFailed = false;
  #isResumed = false;
  #restarts = 0;

  constructor(source: BlobSource, options: UploadOptions, subject: string, repository: string) {
    this.#source = source;
    this.#options = options;
    this.#subject = subject;
    this.#repository = repository;
  }

  async try(tries: Tries): Promise<'mounted' | 'uploaded'> {
    for (;;) {
      if (this.#hasFailed && (await this.#recover(tries))) return 'uploaded';
      if (this.#location === undefined && (await this.#begin(tries))) return 'mounted';
      this.#hasFailed = true;
      try {
        await this.#sendRest(tries);
        return 'uploaded';
      } catch (error) {
        // Bytes that are not the blob's are a fault of the upload only where they came in several goes.
        const isWrong = error instanceof Refusal && error.status === 400 && !this.#isResumed;
        if (isWrong || !isLost(error) || this.#restarts++ >= RESTARTS) throw error;
      }
    }
  }

  /** After a failure: what the registry has got. True: all of it. */
  async #recover({ once, hasMoved, limits }: Tries): Promise<boolean> {
    const before = this.#offset;
    if (this.#location !== undefined) {
      try {
        this.#take(await once({ method: 'GET', path: this.#location, statuses: [204, 200], subject: this.#subject }));
        if (this.#offset - before >= limits.progressBytes) hasMoved();
        this.#isResumed = this.#offset > 0;
        return false;
      } catch (error) {
        if (!isLost(error)) throw error;
        this.#location = undefined;
        this.#offset = 0;
      }
    }
    // It may have been finished, and the answer lost.
    const { known } = this.#source;
    if (!known) return false;
    const response = await once({ method: 'HEAD', path: `/blobs/${known.digest}`, statuses: [200, 404], subject: this.#subject });
    response.body.destroy();
    return response.status === 200;
  }

  /** True: nothing needs to be sent. */
  async #begin({ once }: Tries): Promise<boolean> {
    const { mount } = this.#options;
    const asked = { method: 'POST', path: '/blobs/uploads/', subject: this.#subject } as const;
    if (mount && !this.#hasFailed) {
      const query = new URLSearchParams({ mount: mount.digest, from: mount.from });
      try {
        const path = `${asked.path}?${query}`;
        const response = await once({ ...asked, path, statuses: [201, 202], mountedFrom: mount.from });
        if (response.status === 202) this.#take(response);
        response.body.destroy();
        return response.status === 201;
      } catch (error) {
        // Who may not read there, or has never heard of mounting, may still take it.
        if (!(error instanceof Refusal) || error.status === 429 || error.status >= 500) throw error;
      }
    }
    this.#take(await once({ ...asked, statuses: [202] }));
    return false;
  }

  async #sendRest(tries: Tries): Promise<void> {
    const { known } = this.#source;
    if (known && this.#offset === 0 && this.#leastBytes === undefined) return this.#finish(tries, known.digest, known.size);
    if (this.#leastBytes === undefined) await this.#patch(tries, known?.size);
    else await this.#patchInChunks(tries, Math.max(this.#leastBytes, CHUNK_BYTES));
    await this.#finish(tries, (await this.#source.whole).digest, 0);
  }

  /** The last request: with all bytes, or with none. */
  async #finish(tries: Tries, digest: string, sizeBytes: number): Promise<void> {
    const url = new URL(this.#location as string);
    url.searchParams.set('digest', digest);
    const response = await tries.once({
      method: 'PUT',
      path: url.href,
      subject: this.#subject,
      statuses: [201, 204],
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(sizeBytes) },
      ...(sizeBytes > 0 && { body: () => this.#body(tries, 0, sizeBytes) }),
    });
    response.body.destroy();
    const said = readDigest(response);
    if (said === undefined || said === digest) return;
    throw new TbuildError('registry/wrong-digest', `${this.#subject}: ${digest} was sent, and the registry calls it ${said}`);
  }

  /** Everything that is there and will be; `end` undefined: the registry sees it when it has ended. */
  async #patch(tries: Tries, end: number | undefined): Promise<void> {
    const start = this.#offset;
    if (start === end) return;
    const range = end === undefined ? {} : { 'content-range': `${start}-${end - 1}`, 'content-length': String(end - start) };
    const response = await tries.once({
      method: 'PATCH',
      path: this.#location as string,
      subject: this.#subject,
      statuses: [202, 204],
      headers: { 'content-type': 'application/octet-stream', ...range },
      body: () => this.#body(tries, start, end),
    });
    this.#take(response);
    const size = end ?? (await this.#source.whole).size;
    if (response.header('range') === undefined) this.#offset = size;
    if (this.#offset < size) throw new Refusal(416, undefined, response.url.host, []);
  }

  async #patchInChunks(tries: Tries, chunkBytes: number): Promise<void> {
    for (;;) {
      const end = Math.min(this.#offset + chunkBytes, await this.#source.waitFor(this.#offset + chunkBytes));
      if (end <= this.#offset) return;
      await this.#patch(tries, end);
      tries.hasMoved();
    }
  }

  #body({ limits: { idleMs } }: Tries, start: number, end: number | undefined): Readable {
    const { onProgress } = this.#options;
    const body: Readable = Readable.from(
      watched(this.#source.read(start, end), { start, idleMs, onProgress, give: () => body }),
      {
        objectMode: false,
        highWaterMark: 1,
      },
    );
    return body;
  }

  /** What an answer says of the upload: where it goes on, and from which byte. */
  #take(response: HttpResponse): void {
    response.body.destroy();
    const refuse = (why: string) =>
      new TbuildError('registry/bad-answer', `${this.#subject}: the upload is ${why}`, {
        hint: 'a registry behind a proxy must know its own address, or give relative ones',
      });
    const location = response.header('location');
    if (location !== undefined) this.#location = redirectTarget(response.url, location, refuse).href;
    if (this.#location === undefined) {
      throw new TbuildError('registry/bad-answer', `${response.url.host} does not say where to upload to ${this.#repository}`);
    }
    const least = response.header('oci-chunk-min-length');
    if (least !== undefined && /^\d{1,15}$/.test(least)) this.#leastBytes = Number(least);
    const last = Number(/^(?:bytes=)?0-(\d{1,15})$/.exec(response.header('range') ?? '')?.[1] ?? Number.NaN);
    // For docker's registry `0-0` is nothing.
    if (!Number.isNaN(last)) this.#offset = last === 0 ? 0 : last + 1;
  }
}

/** The registry knows the upload no more, or has other bytes than we sent: it begins anew. */
function isLost(error: unknown): boolean {
  return error instanceof Refusal && [400, 404, 410, 416].includes(error.status);
}

/** As the network's failures are: another try may do better. */
class Stalled extends Error {
  readonly code = 'UND_ERR_STALLED';
}

interface Watch {
  readonly start: number;
  readonly idleMs: number;
  readonly onProgress: ((bytes: number) => void) | undefined;
  readonly give: () => Readable;
}

/** Ends a body that nobody takes anything from any more. */
async function* watched(chunks: AsyncIterable<Buffer>, { start, idleMs, onProgress, give }: Watch): AsyncGenerator<Buffer> {
  let bytes = start;
  for await (const chunk of chunks) {
    const stall = new Stalled(`the registry takes nothing any more, after ${bytes} bytes`);
    const timer = setTimeout(() => give().destroy(stall), idleMs);
    try {
      yield chunk;
    } finally {
      clearTimeout(timer);
    }
    bytes += chunk.length;
    onProgress?.(bytes);
  }
}
