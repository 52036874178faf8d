// A registry in memory that takes blobs to the letter of the distribution-spec, uploads that go on included, which docker-registry does not know. What
// goes wrong is for the test to say. Ends with the file's tests.

import { hash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Fault } from './faulty-registry.ts';
import { listenOnLoopback } from './loopback.ts';

export interface UploadRegistry {
  readonly host: string;
  /** `PATCH 202 0-999`: method, status, and the range that was asked for or answered with. */
  readonly log: string[];
  readonly blobs: Map<string, Buffer>;
  /** Connections are cut once so many bytes of an upload have come, one after the other. */
  readonly cuts: number[];
  /** The answer to the next request of a method, in place of the right one. */
  readonly refusals: Map<string, { readonly status: number; readonly body?: object }>;
  chunkMinLength: number | undefined;
  /** What is done in place of the right answer, for as often as they say. */
  readonly faults: Fault[];
  /** A first byte of an upload has come. */
  hasBegun: boolean;
  /** Sessions are forgotten when a connection is cut. */
  forgets: boolean;
}

export async function startUploadRegistry(): Promise<UploadRegistry> {
  const sessions = new Map<string, Buffer>();
  let made = 0;
  const registry: UploadRegistry = {
    host: '',
    log: [],
    blobs: new Map(),
    cuts: [],
    refusals: new Map(),
    faults: [],
    hasBegun: false,
    chunkMinLength: undefined,
    forgets: false,
  };

  const take = async (request: IncomingMessage, id: string): Promise<void> => {
    const before = sessions.get(id) as Buffer;
    let bytes = before;
    for await (const chunk of request as AsyncIterable<Buffer>) {
      registry.hasBegun = true;
      bytes = Buffer.concat([bytes, chunk]);
      sessions.set(id, bytes);
      const [cut] = registry.cuts;
      if (cut === undefined || bytes.length < cut) continue;
      registry.cuts.shift();
      sessions.set(id, bytes.subarray(0, cut));
      if (registry.forgets) sessions.delete(id);
      throw new Error('cut');
    }
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url as string, 'http://host');
    const range = request.headers['content-range'] ?? '';
    const end = (status: number, headers: Record<string, string> = {}, body?: object) => {
      registry.log.push([request.method, status, headers.range ?? range].join(' ').trim());
      response.writeHead(status, headers).end(body && JSON.stringify(body));
    };
    const refusal = registry.refusals.get(request.method as string);
    if (refusal) {
      registry.refusals.delete(request.method as string);
      request.resume();
      return end(refusal.status, {}, refusal.body);
    }
    const digest = /\/blobs\/(sha256:\w+)$/.exec(url.pathname)?.[1];
    if (digest) {
      const blob = registry.blobs.get(digest);
      return end(blob ? 200 : 404, blob ? { 'content-length': String(blob.length) } : {});
    }
    if (!url.pathname.includes('/blobs/uploads/')) return end(404);
    const id = url.pathname.replace(/.*\//, '');
    const session = (status: number, name: string) => {
      const size = sessions.get(name)?.length ?? 0;
      const least = registry.chunkMinLength;
      end(status, {
        location: `/v2/app/blobs/uploads/${name}?part=${size}`,
        range: `0-${Math.max(0, size - 1)}`,
        ...(least !== undefined && { 'oci-chunk-min-length': String(least) }),
      });
    };
    if (request.method === 'POST') {
      const name = `upload-${++made}`;
      sessions.set(name, Buffer.alloc(0));
      return session(202, name);
    }
    const known = sessions.get(id);
    if (!known) return end(404);
    if (request.method === 'GET') return session(204, id);
    if (range !== '' && Number(range.split('-')[0]) !== known.length) return end(416);
    await take(request, id);
    if (request.method === 'PATCH') return session(202, id);
    const whole = sessions.get(id) as Buffer;
    const is = `sha256:${hash('sha256', whole)}`;
    if (is !== url.searchParams.get('digest')) return end(400, {}, { errors: [{ code: 'DIGEST_INVALID', message: 'no' }] });
    registry.blobs.set(is, whole);
    sessions.delete(id);
    end(201);
  };

  const server = createServer((request, response) => {
    const { socket } = request;
    const answerRight = () =>
      void answer(request, response).catch(() => {
        registry.log.push(`${request.method} cut`);
        socket.destroy();
      });
    const due = registry.faults.find(({ on }) => on.test(`${request.method} ${request.url}`));
    if (!due) return answerRight();
    if (due.times !== undefined) registry.faults.splice(registry.faults.indexOf(due), 1, ...repeated(due, due.times - 1));
    response.on('close', () => registry.log.push(`${request.method} ${response.statusCode} fault`));
    due.act(request, response, answerRight);
  });
  return Object.assign(registry, { host: await listenOnLoopback(server) });
}

const repeated = (fault: Fault, times: number): Fault[] => (times > 0 ? [{ ...fault, times }] : []);
