// A file behind a URL, downloaded once: what was received is kept with the validators of its server, so that an unchanged file is asked for and not
// sent again (BuildKit: source/http). The files are named by the URL, written beside and renamed, and their digest is checked before use.

import { createHash } from 'node:crypto';
import {
  chmodSync,
  createReadStream,
  createWriteStream,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { type Digest, hexOf, sha256 } from '../../base/digest.ts';
import { TbuildError } from '../../base/errors.ts';
import type { HttpResponse } from '../../http/exchange.ts';
import { redactUrl } from '../../http/url.ts';
import { type HttpLimits, httpError, httpGet, httpLimits } from './request.ts';

export interface HttpSource {
  readonly url: string;
  /** What the file is called. */
  readonly name: string;
  readonly checksum: Digest | undefined;
}

export interface HttpPlaces {
  /** Where downloads are kept. */
  readonly downloads: string;
  /** Fresh names in a directory of this process, on the same file system. */
  readonly newPath: () => string;
}

export interface HttpAccess {
  /** Content of a secret; undefined: not given. */
  readonly secret: (id: string) => Buffer | undefined;
  /** Ask for everything anew. */
  readonly fresh: boolean;
  /** "12.3MB" and the like, now and then. */
  readonly progress: (bytes: number, of: number | undefined) => void;
  readonly signal: AbortSignal;
  readonly limits?: Partial<HttpLimits>;
}

export interface Download {
  readonly digest: Digest;
  /** Seconds since the epoch: the server's Last-Modified. */
  readonly modifiedAt: number | undefined;
}

/** What is known of a download when it is used again. */
interface Kept extends Download {
  readonly etag: string | undefined;
  readonly lastModified: string | undefined;
}

/** What is kept beyond this goes, the longest unused first. */
const KEEP_BYTES = 8 * 2 ** 30;

/** Asks for the file, and receives it unless it is the one that is here. Throws `context/http`, `context/checksum`. */
export async function download(source: HttpSource, places: HttpPlaces, access: HttpAccess): Promise<Download> {
  const files = filesOf(source, places);
  const kept = access.fresh ? undefined : recall(files);
  const request = {
    url: source.url,
    // As Go's client, which asks for gzip and hands over what was in it.
    headers: { 'user-agent': 'tbuild', 'accept-encoding': 'gzip', ...(kept && conditions(kept)) },
    authorization: findAuthorization(source.url, access.secret),
    signal: access.signal,
    limits: { ...httpLimits, ...access.limits },
  };
  const received = await httpGet(request, async (response) => {
    if (kept && isUnchanged(response, kept)) {
      response.body.destroy();
      const now = new Date();
      utimesSync(files.record, now, now);
      return kept;
    }
    if (response.status !== 200) throw httpError(source.url, `invalid response status ${response.status}`);
    const path = places.newPath();
    return keep(files, path, await receive(response, path, request.limits.bytes, source.url, access), places);
  });
  checkDigest(source, received.digest);
  return received;
}

/**
 * The file in a directory of this process: mode 0600, modified when the server says, else at the epoch. `known`: what `download` said;
 * without it the source's checksum tells whether what is here will do.
 */
export async function takeDownload(
  source: HttpSource,
  places: HttpPlaces,
  access: HttpAccess,
  known: Download | undefined,
): Promise<Download & { readonly root: string }> {
  const root = places.newPath();
  mkdirSync(root);
  const path = join(root, source.name);
  const files = filesOf(source, places);
  const kept = recall(files);
  const wanted = known?.digest ?? source.checksum;
  if (kept !== undefined && kept.digest === wanted && (await takeKept(files, path, wanted))) return { ...kept, root };
  // Damaged, or another's by now.
  rmSync(files.record, { force: true });
  const fresh = await download(source, places, { ...access, fresh: true });
  if ((wanted !== undefined && fresh.digest !== wanted) || !(await takeKept(files, path, fresh.digest))) {
    throw httpError(source.url, `it changed meanwhile: ${fresh.digest}, and was ${wanted ?? 'something else'}`);
  }
  return { ...fresh, root };
}

function checkDigest({ url, checksum }: HttpSource, digest: Digest): void {
  if (checksum === undefined || checksum === digest) return;
  throw new TbuildError('context/checksum', `digest mismatch for ${redactUrl(url)}: ${digest} (expected: ${checksum})`);
}

interface Files {
  readonly record: string;
  readonly content: string;
}

/** By the URL alone: whether an answer may be used again, the server says each time. */
function filesOf({ url }: HttpSource, { downloads }: HttpPlaces): Files {
  const path = join(downloads, hexOf(sha256(url)));
  return { record: `${path}.json`, content: `${path}.content` };
}

function recall({ record }: Files): Kept | undefined {
  try {
    return JSON.parse(readFileSync(record, 'utf8')) as Kept;
  } catch {
    // It was never here, or is damaged: either way it is asked for.
    return undefined;
  }
}

/** A link, which nobody who replaces the kept file touches; checked then, so that what was checked is what is used. */
async function takeKept({ content }: Files, path: string, digest: Digest): Promise<boolean> {
  try {
    linkSync(content, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  if (`sha256:${hash.digest('hex')}` === digest) return true;
  rmSync(path);
  return false;
}

/** A time says as much as a tag when nothing can have been changed within its second (RFC 9110, section 8.8.2.2: a minute is enough). */
function conditions({ etag, lastModified }: Kept): Record<string, string> {
  if (etag !== undefined) return { 'if-none-match': etag };
  return lastModified === undefined ? {} : { 'if-modified-since': lastModified };
}

/** Some servers send the tag that we asked about with the file all over again. */
function isUnchanged({ status, header }: HttpResponse, { etag }: Kept): boolean {
  const strong = (tag: string | undefined) => tag?.replace(/^W\//, '');
  return status === 304 || (etag !== undefined && strong(header('etag')) === strong(etag));
}

/** A token goes before a header (BuildKit: source/http, newHTTPRequest). */
function findAuthorization(url: string, secret: HttpAccess['secret']): string | undefined {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
  const token = secret(`HTTP_AUTH_TOKEN_${host}`)?.toString().trim();
  const value = token === undefined ? secret(`HTTP_AUTH_HEADER_${host}`)?.toString().trim() : `Bearer ${token}`;
  if (value !== undefined && /[^\t\x20-\x7e\x80-\xff]/.test(value)) {
    throw new TbuildError('usage/secret', `the secret for ${host} has a character that no header can have`);
  }
  return value;
}

async function receive(response: HttpResponse, path: string, maxBytes: number, url: string, access: HttpAccess): Promise<Kept> {
  const { body, header } = response;
  const lengthText = header('content-length');
  const length = lengthText === undefined ? undefined : Number(lengthText);
  const hash = createHash('sha256');
  let bytes = 0;
  const count = new Transform({
    transform(chunk: Buffer, _, done) {
      bytes += chunk.length;
      if (bytes > maxBytes) {
        done(httpError(url, `it has more than ${maxBytes} bytes`));
        return;
      }
      hash.update(chunk);
      access.progress(bytes, length);
      done(null, chunk);
    },
  });
  const isCompressed = header('content-encoding')?.toLowerCase() === 'gzip';
  const stages: [Readable, ...Transform[]] = isCompressed ? [body, createGunzip(), count] : [body, count];
  await pipeline([...stages, createWriteStream(path, { mode: 0o600, flags: 'wx' })], { signal: access.signal });
  const lastModified = header('last-modified');
  const modifiedAt = readHttpDate(lastModified);
  return {
    digest: `sha256:${hash.digest('hex')}`,
    modifiedAt,
    etag: header('etag'),
    lastModified: modifiedAt !== undefined && isOld(modifiedAt, header('date')) ? lastModified : undefined,
  };
}

const isOld = (modifiedAt: number, date: string | undefined): boolean =>
  modifiedAt + 60 <= (readHttpDate(date) ?? Date.now() / 1000);

/** Seconds; what is no date says nothing. */
function readHttpDate(text: string | undefined): number | undefined {
  const ms = text !== undefined && /^\w+,? .* GMT$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms / 1000;
}

/** The content first: a record whose content is another is found out by its digest. */
function keep({ record, content }: Files, path: string, received: Kept, { downloads, newPath }: HttpPlaces): Kept {
  chmodSync(path, 0o600);
  // As a date: Node takes a number below zero for now.
  const modified = new Date((received.modifiedAt ?? 0) * 1000);
  utimesSync(path, modified, modified);
  mkdirSync(downloads, { recursive: true, mode: 0o711 });
  renameSync(path, content);
  const written = newPath();
  writeFileSync(written, JSON.stringify(received));
  renameSync(written, record);
  dropOldest(downloads);
  return received;
}

function dropOldest(downloads: string): void {
  const stat = (name: string) => statSync(join(downloads, name), { throwIfNoEntry: false });
  const kept = readdirSync(downloads)
    .filter((name) => name.endsWith('.content'))
    .map((name) => name.slice(0, -'.content'.length))
    .map((name) => ({ name, bytes: stat(`${name}.content`)?.size ?? 0, usedMs: stat(`${name}.json`)?.mtimeMs ?? 0 }))
    .sort((a, b) => b.usedMs - a.usedMs);
  let sum = 0;
  for (const [place, { name, bytes }] of kept.entries()) {
    sum += bytes;
    if (place === 0 || sum <= KEEP_BYTES) continue;
    for (const end of ['json', 'content']) rmSync(join(downloads, `${name}.${end}`), { force: true });
  }
}
