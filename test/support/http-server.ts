// A server of HTTP on loopback that a test scripts: what it answers, and what it was asked.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { listenOnLoopback } from './loopback.ts';

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export interface HttpServer {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  readonly host: string;
  /** `GET /x 200` for each answer, in order. */
  readonly log: string[];
  /** Headers of each request, in order. */
  readonly headers: IncomingMessage['headers'][];
  /** Forgets what it was asked; the answers stay. */
  reset(): void;
}

/** Ends with the file's tests. A path that is not in `answers` is looked for by its first part (`/git/*`), else it is 404. */
export async function serveHttp(answers: Record<string, Answer>): Promise<HttpServer> {
  const log: string[] = [];
  const headers: IncomingMessage['headers'][] = [];
  const server = createServer((request, response) => {
    const path = new URL(request.url!, 'http://host').pathname;
    response.on('close', () => log.push(`${request.method} ${path} ${response.statusCode}`));
    headers.push(request.headers);
    const answer = answers[path] ?? answers[`/${path.split('/')[1]}/*`];
    if (answer) answer(request, response);
    else response.writeHead(404).end('not here');
  });
  const at = await listenOnLoopback(server);
  const reset = () => {
    log.length = 0;
    headers.length = 0;
  };
  return { url: `http://${at}`, host: '127.0.0.1', log, headers, reset };
}

/** A file as a careful server gives it: with a tag and a time, and not again to whoever has it. */
export function file(content: string | Buffer, more: Record<string, string> = {}): Answer {
  const fixed = { etag: `"${Buffer.from(content).length}-1"`, 'last-modified': 'Thu, 02 Jan 2020 03:04:05 GMT', ...more };
  return (request, response) => {
    if (request.headers['if-none-match'] === fixed.etag) response.writeHead(304, fixed).end();
    else response.writeHead(200, fixed).end(content);
  };
}
