// A registry that does everything wrong while a blob goes up, one thing at a time: each fault passes with another try, or is an error that names it.

import { hash, randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TbuildError } from '../../../src/base/errors.ts';
import type { Descriptor } from '../../../src/oci/descriptor.ts';
import { bytesSource } from '../../../src/registry/blob-source.ts';
import { RegistryClient } from '../../../src/registry/client.ts';
import { uploadBlob } from '../../../src/registry/upload.ts';
import { type Act, type Fault, hangUp, redirect, serveFaulty, silence, status } from '../../support/faulty-registry.ts';
import { startUploadRegistry, type UploadRegistry } from '../../support/upload-registry.ts';

const bytes = randomBytes(3_000_000);
const descriptor: Descriptor = { mediaType: 'x/y', digest: `sha256:${hash('sha256', bytes)}`, size: bytes.length };
const other = `sha256:${'0'.repeat(64)}`;

let registry: UploadRegistry;
let client: RegistryClient;
beforeEach(async () => {
  registry = await startUploadRegistry();
  const limits = { backoffMs: 1, idleMs: 400, retryAfterMaxMs: 2000, tries: 3, progressBytes: 100_000 };
  client = new RegistryClient({ signal: new AbortController().signal, limits, env: {} });
});
afterEach(() => client.close());

const open = () => client.open({ domain: registry.host, path: 'app' }, { actions: ['pull', 'push'] });

async function upload(...faults: readonly Fault[]): Promise<void> {
  registry.faults.push(...faults);
  await uploadBlob(await open(), bytesSource(descriptor, bytes));
}

/** `code: message (hint)`, with nothing in it that differs from run to run. */
async function failure(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => new Error('it does not fail'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof TbuildError)) throw error;
  const plain = (text: string) =>
    text.replaceAll(registry.host, 'HOST').replaceAll(descriptor.digest, 'BLOB').replaceAll(other, 'OTHER');
  return `${error.code}: ${plain(error.message)}${error.hint === undefined ? '' : ` (${plain(error.hint)})`}`;
}

/** What came is thrown away first: a client that is still sending hears no answer. */
const afterBody =
  (act: Act): Act =>
  (request, response, answer) => {
    request.resume().on('end', () => act(request, response, answer));
  };

const says = (code: string, message: string) => ({ code, message });
const loop = redirect((request) => new URL(request.url as string, `http://${request.headers.host}`).href);

describe('what passes with another try', () => {
  it.each<readonly [string, Fault]>([
    ['429 with Retry-After', { on: /^PUT/, act: afterBody(status(429, undefined, { 'retry-after': '1' })), times: 1 }],
    ['500 at the beginning', { on: /^POST/, act: status(500), times: 2 }],
    ['503 at the end', { on: /^PUT/, act: afterBody(status(503)), times: 1 }],
    ['a connection that is cut at the beginning', { on: /^POST/, act: hangUp, times: 1 }],
    [
      'a connection that is cut in the middle',
      { on: /^PUT/, act: (request) => void request.once('data', () => request.socket.destroy()), times: 1 },
    ],
    ['silence for an answer', { on: /^PUT/, act: afterBody(silence), times: 1 }],
    ['nothing being taken any more', { on: /^PUT/, act: silence, times: 1 }],
    ['a session that is gone', { on: /^PUT/, act: afterBody(status(404, says('BLOB_UPLOAD_UNKNOWN', 'no'))), times: 1 }],
  ])('%s', async (title, fault) => {
    const begun = performance.now();
    await upload(fault);
    expect(registry.blobs.get(descriptor.digest)?.equals(bytes)).toBe(true);
    if (title.includes('Retry-After')) expect(performance.now() - begun).toBeGreaterThan(990);
  });
});

describe('what does not', () => {
  const blob = 'the blob BLOB of HOST/app';
  const denied = `${blob}: push access denied, repository does not exist or may require authorization: server message:`;
  const login = '(tbuild login HOST says who you are)';
  const unplaced = `registry/not-found: HOST has no place for ${blob}`;
  const madeFirst = '(the repository may have to be made first)';
  it.each<readonly [string, string, RegExp, Act]>([
    ['401', `auth/unauthorized: ${denied} unauthorized: who ${login}`, /^POST/, status(401, says('UNAUTHORIZED', 'who'))],
    ['403', `auth/denied: ${denied} denied: quota ${login}`, /^PUT/, afterBody(status(403, says('DENIED', 'quota')))],
    ['404', `${unplaced}: name_unknown: none ${madeFirst}`, /^POST/, status(404, says('NAME_UNKNOWN', 'none'))],
    ['404 for each upload', `${unplaced} ${madeFirst}`, /^PUT/, afterBody(status(404))],
    ['413', `registry/too-large: ${blob}: HOST takes nothing so large`, /^PUT/, afterBody(status(413))],
    [
      '429 for an hour',
      'registry/rate-limited: HOST has had too many requests (it says to try again after: 3600)',
      /^PUT/,
      afterBody(status(429, undefined, { 'retry-after': '3600' })),
    ],
    ['500', `registry/unavailable: HOST answers 500 when asked for ${blob} (try again later)`, /^POST/, status(500)],
    [
      '503',
      `registry/unavailable: HOST answers 503 when asked for ${blob}: unavailable: over loaded (try again later)`,
      /^PUT/,
      afterBody(status(503, says('UNAVAILABLE', 'over\nloaded'))),
    ],
    ['silence', 'registry/unreachable: cannot reach the registry HOST: Headers Timeout Error', /^POST/, silence],
    ['being cut off', 'registry/unreachable: cannot reach the registry HOST: other side closed', /^POST/, hangUp],
    ['redirects without end', `registry/bad-answer: ${blob}: HOST stopped after 10 redirects`, /^POST/, loop],
    ['no place', 'registry/bad-answer: HOST does not say where to upload to HOST/app', /^POST/, status(202)],
    [
      'another digest',
      `registry/wrong-digest: ${blob}: BLOB was sent, and the registry calls it OTHER`,
      /^PUT/,
      afterBody(status(201, undefined, { 'docker-content-digest': other })),
    ],
  ])('%s', async (_, told, on, act) => {
    expect(await failure(upload({ on, act }))).toBe(told);
    expect(registry.log.length).toBeLessThan(12);
    expect(registry.blobs.size).toBe(0);
  });
});

it('a manifest that the registry calls otherwise is told', async () => {
  const faulty = await serveFaulty();
  faulty.setFaults({ on: /^PUT/, act: afterBody(status(201, undefined, { 'docker-content-digest': other })) });
  const repository = await client.open({ domain: faulty.host, path: 'app' }, { actions: ['push'] });
  const putting = repository.putManifest({ ...descriptor, mediaType: 'x/y' }, bytes, '1');
  await expect(putting).rejects.toMatchObject({ code: 'registry/wrong-digest' });
});
