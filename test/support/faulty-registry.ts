// A registry that does what a test wants it to: right where nothing is said, and wrong in every way a list of faults says. On loopback, in plain
// http; it ends with the file's tests.

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { listenOnLoopback } from './loopback.ts';

export type Act = (request: IncomingMessage, response: ServerResponse, answer: () => void) => void;

export interface Fault {
  /** Of `GET /v2/app/blobs/sha256:…`. */
  readonly on: RegExp;
  readonly act: Act;
  /** How often; unset: always. */
  readonly times?: number;
}

export interface Content {
  readonly bytes: Buffer;
  readonly mediaType: string;
}

export interface FaultyRegistry {
  /** `127.0.0.1:<port>`. */
  readonly host: string;
  /** By `/v2/app/manifests/<tag or digest>` and `/v2/app/blobs/<digest>`. */
  readonly contents: Map<string, Content>;
  /** `GET /v2/… 200`, in order. */
  readonly log: string[];
  readonly headers: IncomingMessage['headers'][];
  /** In place of those before. */
  setFaults(...faults: readonly Fault[]): void;
}

export async function serveFaulty(): Promise<FaultyRegistry> {
  const contents = new Map<string, Content>();
  const log: string[] = [];
  const headers: IncomingMessage['headers'][] = [];
  let faults: { fault: Fault; left: number }[] = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url!, 'http://host').pathname);
    response.on('close', () => log.push(`${request.method} ${path} ${response.statusCode}`));
    headers.push(request.headers);
    const answer = () => answerRight(request, response, path === '/v2/' ? EMPTY : contents.get(path));
    const due = faults.find(({ fault, left }) => left > 0 && fault.on.test(`${request.method} ${request.url}`));
    if (!due) return answer();
    due.left--;
    due.fault.act(request, response, answer);
  });
  const setFaults = (...given: readonly Fault[]) => {
    faults = given.map((fault) => ({ fault, left: fault.times ?? Number.POSITIVE_INFINITY }));
    log.length = 0;
    headers.length = 0;
  };
  return { host: await listenOnLoopback(server), contents, log, headers, setFaults };
}

const EMPTY: Content = { bytes: Buffer.from('{}'), mediaType: 'application/json' };

const digestOf = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

function answerRight(request: IncomingMessage, response: ServerResponse, content: Content | undefined): void {
  if (!content) {
    response.writeHead(404).end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}');
    return;
  }
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const part = content.bytes.subarray(start);
  response.writeHead(start > 0 ? 206 : 200, {
    'content-type': content.mediaType,
    'content-length': part.length,
    'docker-content-digest': digestOf(content.bytes),
    ...(start > 0 && { 'content-range': `bytes ${start}-${content.bytes.length - 1}/${content.bytes.length}` }),
  });
  response.end(request.method === 'HEAD' ? undefined : part);
}

export function status(code: number, error?: { code: string; message: string }, headers: Record<string, string> = {}): Act {
  return (_, response) => response.writeHead(code, headers).end(error && JSON.stringify({ errors: [error] }));
}

export const redirect =
  (to: (request: IncomingMessage) => string): Act =>
  (request, response) =>
    response.writeHead(307, { location: to(request) }).end();

/** The right beginning, and then `what`. */
function breakAfter(bytes: number, what: (response: ServerResponse) => void): Act {
  return (request, response, answer) => {
    const { write, end } = response;
    response.end = ((chunk: Buffer) => {
      Object.assign(response, { write, end });
      response.write(chunk.subarray(0, bytes), () => what(response));
    }) as never;
    void request;
    answer();
  };
}

/** The connection is cut. */
export const truncate = (bytes: number): Act => breakAfter(bytes, (response) => response.destroy());
/** Nothing more comes. */
export const stall = (bytes: number): Act => breakAfter(bytes, () => {});
export const silence: Act = () => {};
export const hangUp: Act = (request) => request.socket.destroy();

/** Other bytes; their length is told unless `isChunked`. */
export function say(bytes: string | Buffer, mediaType = 'application/octet-stream', isChunked = false): Act {
  const length = { 'content-length': Buffer.byteLength(bytes) };
  return (_, response) => response.writeHead(200, { 'content-type': mediaType, ...(!isChunked && length) }).end(bytes);
}

/** As from a server that knows no ranges. */
export const whole: Act = (request, _, answer) => {
  delete request.headers.range;
  answer();
};
