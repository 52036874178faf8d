// The cache service of GitHub Actions, version 2, as far as clients see it: Twirp in JSON with a token, uploads and downloads by links of their own in the
// words of Azure's blobs, keys that are written once. On loopback and in memory; ends with the file's tests.

import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import { listenOnLoopback } from './loopback.ts';

export interface GhaServer {
  /** For ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN. */
  readonly env: { readonly ACTIONS_RESULTS_URL: string; readonly ACTIONS_RUNTIME_TOKEN: string };
  /** Finished, by key and version. */
  readonly entries: Map<string, Buffer>;
  /** `CreateCacheEntry 200` or `PUT 201` for each answer, in order. */
  readonly log: string[];
}

interface Upload {
  readonly name: string;
  body: Buffer | undefined;
  readonly blocks: Map<string, Buffer>;
}

export async function startGhaServer(): Promise<GhaServer> {
  const token = randomUUID();
  const entries = new Map<string, Buffer>();
  const uploads = new Map<string, Upload>();
  const links = new Map<string, string>();
  const log: string[] = [];
  let base = '';

  const twirp = (method: string, request: Record<string, unknown>): [status: number, answer: object] => {
    const { key, version } = request as { key: string; version: string };
    const name = `${version} ${key}`;
    if (method === 'CreateCacheEntry') {
      if (entries.has(name) || [...uploads.values()].some((upload) => upload.name === name))
        return [409, { code: 'already_exists', msg: 'cache entry with the same key, version, and scope already exists' }];
      const id = randomUUID();
      uploads.set(id, { name, body: undefined, blocks: new Map() });
      return [200, { ok: true, signed_upload_url: `${base}/upload/${id}?sig=${id}&se=later` }];
    }
    if (method === 'FinalizeCacheEntryUpload') {
      const [id, upload] = [...uploads].find(([, each]) => each.name === name) ?? [];
      if (!id || !upload?.body || String(upload.body.length) !== request.size_bytes)
        return [404, { code: 'not_found', msg: 'no upload' }];
      uploads.delete(id);
      entries.set(name, upload.body);
      return [200, { ok: true, entry_id: '1' }];
    }
    const beginnings = (request.restore_keys as string[]).map((each) => `${version} ${each}`);
    const newest = [...entries.keys()].reverse().find((each) => beginnings.some((beginning) => each.startsWith(beginning)));
    const found = entries.has(name) ? name : newest;
    if (found === undefined) return [200, { ok: false, signed_download_url: '', matched_key: '' }];
    const id = randomUUID();
    links.set(id, found);
    return [
      200,
      { ok: true, signed_download_url: `${base}/download/${id}?sig=${id}`, matched_key: found.slice(version.length + 1) },
    ];
  };

  const putBlob = (upload: Upload, url: URL, { headers }: IncomingMessage, body: Buffer): number => {
    const id = url.searchParams.get('blockid');
    if (url.searchParams.get('comp') === 'block' && id) upload.blocks.set(id, body);
    else if (url.searchParams.get('comp') === 'blocklist') {
      const ids = [...body.toString().matchAll(/<Latest>([^<]+)<\/Latest>/g)].map(([, each]) => each as string);
      upload.body = Buffer.concat(ids.map((each) => upload.blocks.get(each) as Buffer));
    } else if (headers['x-ms-blob-type'] !== 'BlockBlob') return 400;
    else upload.body = body;
    return 201;
  };

  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const url = new URL(request.url ?? '', 'http://host');
    const answer = (what: string, status: number, content: string | Buffer = '') => {
      log.push(`${what} ${status}`);
      response.writeHead(status, { 'content-length': String(content.length) }).end(content);
    };
    const [, kind, last] = /^\/(upload|download)\/(.+)$/.exec(url.pathname) ?? [];
    if (kind === 'download') return answer('GET', 200, entries.get(links.get(last ?? '') ?? '') ?? '');
    if (kind === 'upload') {
      const upload = uploads.get(last ?? '');
      return answer('PUT', upload && url.searchParams.get('sig') === last ? putBlob(upload, url, request, body) : 403);
    }
    const method = /^\/twirp\/github\.actions\.results\.api\.v1\.CacheService\/(\w+)$/.exec(url.pathname)?.[1];
    if (!method) return answer(url.pathname, 404);
    if (request.headers.authorization !== `Bearer ${token}`)
      return answer(method, 401, '{"code":"unauthenticated","msg":"bad token"}');
    const [status, said] = twirp(method, JSON.parse(body.toString()));
    return answer(method, status, JSON.stringify(said));
  });
  base = `http://${await listenOnLoopback(server)}`;
  return { env: { ACTIONS_RESULTS_URL: `${base}/`, ACTIONS_RUNTIME_TOKEN: token }, entries, log };
}
