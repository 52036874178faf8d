// The API of a Docker or a podman that is running: asked who it is, given an archive to load. Nothing is tried again, and no proxy is asked. Loaded only when something is to be handed over.

import { PassThrough, type Writable } from 'node:stream';
import { Agent, type Dispatcher, request } from 'undici';
import { TbuildError } from '../base/errors.ts';
import type { EnginePlace } from './engine-places.ts';

export interface Engine {
  /** `Docker` or `podman`. */
  readonly name: string;
  /** `write` ends the stream it is given when the archive is whole. Throws `registry/not-loaded`, and what `write` throws. */
  load(write: (archive: Writable) => Promise<unknown>, signal: AbortSignal): Promise<void>;
  /** The archive of the image of that name, in full: as docker save would write it. Throws `image/unknown`. */
  save(name: string, signal: AbortSignal): Promise<AsyncIterable<Buffer>>;
  close(): Promise<void>;
}

const CONNECT_MS = 10_000;
/** An engine says nothing while it unpacks. */
const IDLE_MS = 600_000;
const MAX_ANSWER_BYTES = 1 << 20;

/** Undefined: nobody answers there, or nobody who may be asked. Throws `registry/no-engine` for one that was named. */
export async function openEngine(place: EnginePlace, signal: AbortSignal): Promise<Engine | undefined> {
  const { socketPath, tls } = place;
  const connect = { timeout: CONNECT_MS, ...(socketPath !== undefined && { socketPath }), ...tls };
  const dispatcher = new Agent({ connect, headersTimeout: IDLE_MS, bodyTimeout: IDLE_MS });
  try {
    const { statusCode, headers, body } = await request(`${place.origin}/_ping`, {
      dispatcher,
      signal,
      headersTimeout: CONNECT_MS,
    });
    await readText(body);
    if (statusCode !== 200) throw new Error(`it answers ${statusCode}`);
    const name = /^libpod/i.test(String(headers.server)) ? 'podman' : 'Docker';
    return {
      name,
      load: (write, asked) => load(place, dispatcher, write, asked),
      save: (image, asked) => save(place, dispatcher, image, asked),
      close: () => dispatcher.destroy(),
    };
  } catch (cause) {
    await dispatcher.destroy();
    signal.throwIfAborted();
    if (!place.isNamed) return undefined;
    throw new TbuildError('registry/no-engine', `no Docker answers at ${place.address}: ${reasonOf(cause)}`, { cause });
  }
}

async function load(
  place: EnginePlace,
  dispatcher: Dispatcher,
  write: (archive: Writable) => Promise<unknown>,
  signal: AbortSignal,
): Promise<void> {
  const refused = (why: string, cause?: unknown) =>
    new TbuildError('registry/not-loaded', `the image could not be loaded at ${place.address}: ${why}`, { cause });
  const archive = new PassThrough({ highWaterMark: 1 << 20 });
  // It fails with the request or with the writing, which say why.
  archive.on('error', () => {});
  const writing = write(archive).then(
    () => undefined,
    (error: Error) => {
      archive.destroy(error);
      return error;
    },
  );
  try {
    const { statusCode, body } = await request(`${place.origin}/images/load?quiet=1`, {
      dispatcher,
      method: 'POST',
      headers: { 'content-type': 'application/x-tar' },
      body: archive,
      signal,
    });
    const text = await readText(body);
    if (statusCode !== 200) throw refused(`${statusCode} ${messageOf(text)}`.trim());
    refuseErrors(text, refused);
    // Of an engine that is content before it has read all.
    archive.destroy();
    await writing;
  } catch (error) {
    archive.destroy();
    const failed = await writing;
    signal.throwIfAborted();
    // What was wrong with the archive comes before what that did to the connection.
    if (failed instanceof TbuildError) throw failed;
    throw error instanceof TbuildError ? error : refused(reasonOf(error), error);
  }
}

async function save(
  { origin, address }: EnginePlace,
  dispatcher: Dispatcher,
  name: string,
  signal: AbortSignal,
): Promise<AsyncIterable<Buffer>> {
  const url = `${origin}/images/${encodeURIComponent(name)}/get`;
  const { statusCode, body } = await request(url, { dispatcher, signal });
  if (statusCode === 200) return body;
  const why = messageOf(await readText(body));
  if (statusCode === 404) throw new TbuildError('image/unknown', `no image named ${name} at ${address}`);
  throw new TbuildError('registry/not-saved', `the image ${name} cannot be had of ${address}: ${statusCode} ${why}`.trim());
}

async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new Error('its answer has no end');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Objects one behind the other (docker's pkg/jsonmessage): an error may come after a status of 200. */
function refuseErrors(text: string, refused: (why: string) => TbuildError): void {
  for (const line of text.split('\n')) {
    const { error, errorDetail } = parseObject(line) as { error?: unknown; errorDetail?: { message?: unknown } };
    const failure = errorDetail?.message ?? error;
    if (failure !== undefined && failure !== null) throw refused(String(failure));
  }
}

const messageOf = (text: string): string => {
  const { message } = parseObject(text) as { message?: unknown };
  return typeof message === 'string' ? message : text.slice(0, 200).trim();
};

function parseObject(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return message || code || 'no answer';
}
