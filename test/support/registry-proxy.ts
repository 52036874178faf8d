// Stands before a registry and passes everything on: it counts what is asked, and breaks what a test wants broken. Ends with the file's tests.

import { request as ask, createServer, type IncomingMessage } from 'node:http';
import { listenOnLoopback } from './loopback.ts';

export interface RegistryProxy {
  /** `127.0.0.1:<port>`. */
  readonly host: string;
  /** `PATCH /v2/app/blobs/uploads/* 202` for each answer, in order. */
  readonly log: string[];
  /** Bytes of blobs that were sent. */
  sentBytes: number;
  /** The next request of this method is cut off after so many bytes of its body, on both sides. */
  breakNext(method: string, afterBytes: number): void;
  /** Headers added to each answer to a POST. */
  readonly added: Record<string, string>;
}

export async function startRegistryProxy(target: string): Promise<RegistryProxy> {
  const [hostname, port] = target.split(':') as [string, string];
  const breaks = new Map<string, number>();
  const server = createServer((incoming, outgoing) => {
    const { method = '', url = '', headers, socket } = incoming;
    const breakAfter = breaks.get(method);
    breaks.delete(method);
    const passed = ask({ hostname, port, method, path: url, headers }, (answer) => {
      const more = method === 'POST' ? proxy.added : {};
      outgoing.writeHead(answer.statusCode as number, { ...answer.headers, ...more });
      answer.pipe(outgoing);
      proxy.log.push(`${method} ${url.replace(/\?.*$/, '').replace(/(uploads\/).+$/, '$1*')} ${answer.statusCode}`);
    });
    passed.on('error', () => outgoing.destroy());
    pass(incoming, breakAfter, (chunk) => {
      proxy.sentBytes += chunk.length;
      passed.write(chunk);
    }).then(
      () => passed.end(),
      () => {
        // What was written is to arrive first.
        setTimeout(() => passed.destroy(), 50);
        socket.destroy();
      },
    );
  });
  const proxy: RegistryProxy = {
    host: '',
    log: [],
    sentBytes: 0,
    added: {},
    breakNext: (method, afterBytes) => void breaks.set(method, afterBytes),
  };
  return Object.assign(proxy, { host: await listenOnLoopback(server) });
}

async function pass(incoming: IncomingMessage, breakAfter: number | undefined, write: (chunk: Buffer) => void): Promise<void> {
  let bytes = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    const left = breakAfter === undefined ? chunk.length : breakAfter - bytes;
    write(chunk.subarray(0, left));
    bytes += chunk.length;
    if (breakAfter !== undefined && bytes >= breakAfter) throw new Error('broken');
  }
}
