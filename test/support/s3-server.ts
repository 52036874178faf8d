// A bucket store that speaks as S3 does, on loopback and in memory: PUT, GET, HEAD, DELETE and lists of objects, path-style and by host name. It checks each
// request's signature by reading AWS's description once more, not by our code; that it is honest, s3cmd shows. Ends with the file's tests.

import { createHash, createHmac } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import { listenOnLoopback } from './loopback.ts';

export interface S3Server {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  /** By `bucket/key`. */
  readonly objects: Map<string, { readonly body: Buffer; modified: Date }>;
  /** `GET bucket/key 200` for each answer, in order. */
  readonly log: string[];
  /** Lists have no more than this. */
  pageSize: number;
}

const accessKey = 'AKTEST';
export const s3Credentials = { AWS_ACCESS_KEY_ID: accessKey, AWS_SECRET_ACCESS_KEY: 'secret/of+tests' };

export async function startS3Server(): Promise<S3Server> {
  const objects: S3Server['objects'] = new Map();
  const log: string[] = [];
  const state = { url: '', objects, log, pageSize: 1000 };
  const server = createServer(async (request, response) => {
    const body = await readAll(request);
    const url = new URL(request.url ?? '', 'http://host');
    const name = decodeURIComponent(url.pathname.slice(1)).replace(/\/$/, '');
    const answer = (status: number, text: string | Buffer = '', headers: Record<string, string> = {}) => {
      log.push(`${request.method} ${name} ${status}`);
      response
        .writeHead(status, { 'content-length': String(text.length), ...headers })
        .end(request.method === 'HEAD' ? '' : text);
    };
    const wrong = checkSignature(request, url, body);
    if (wrong) return answer(403, `<Error><Code>SignatureDoesNotMatch</Code><Message>${wrong}</Message></Error>`);
    const found = objects.get(name);
    if (request.method === 'PUT' && name.includes('/')) {
      objects.set(name, { body, modified: new Date() });
      return answer(200, '', { etag: etagOf(body) });
    }
    if (request.method === 'DELETE') {
      objects.delete(name);
      return answer(204);
    }
    if (!name.includes('/')) return answer(200, listing(state, name, url.searchParams), { 'content-type': 'application/xml' });
    if (!found) return answer(404, '<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>');
    const dates = { 'last-modified': found.modified.toUTCString(), etag: etagOf(found.body) };
    return answer(200, found.body, dates);
  });
  state.url = `http://${await listenOnLoopback(server)}`;
  return state;
}

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const etagOf = (body: Buffer) => `"${createHash('md5').update(body).digest('hex')}"`;
const sha256 = (data: string | Buffer) => createHash('sha256').update(data).digest('hex');
const hmac = (key: string | Buffer, data: string) => createHmac('sha256', key).update(data).digest();
const encode = (text: string) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

/** Undefined: all is well. */
function checkSignature({ method, headers }: IncomingMessage, url: URL, body: Buffer): string | undefined {
  const pattern =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([\w-]+)\/s3\/aws4_request, ?SignedHeaders=([\w;-]+), ?Signature=([0-9a-f]{64})$/;
  const [, key, day, region, names = '', signature] = pattern.exec(headers.authorization ?? '') ?? [];
  if (key !== accessKey) return 'the request is not signed, or by somebody else';
  const declared = String(headers['x-amz-content-sha256']);
  if (declared !== 'UNSIGNED-PAYLOAD' && declared !== sha256(body)) return 'the body is another';
  const time = String(headers['x-amz-date']);
  if (
    !time.startsWith(day ?? '-') ||
    Math.abs(Date.now() - Date.parse(time.replace(/^(....)(..)(..T..)(..)/, '$1-$2-$3:$4:'))) > 900_000
  )
    return 'the time is another';
  const signed = names.split(';');
  if (!['host', 'x-amz-content-sha256', 'x-amz-date'].every((name) => signed.includes(name))) return 'too little is signed';
  const query = [...url.searchParams].map(([name, value]) => `${encode(name)}=${encode(value)}`).sort();
  const lines = signed.map((name) => `${name}:${String(headers[name]).trim()}`);
  const canonical = [method, url.pathname, query.join('&'), ...lines, '', names, declared].join('\n');
  const text = `AWS4-HMAC-SHA256\n${time}\n${day}/${region}/s3/aws4_request\n${sha256(canonical)}`;
  const secret = hmac(
    hmac(hmac(hmac(`AWS4${s3Credentials.AWS_SECRET_ACCESS_KEY}`, day ?? ''), region ?? ''), 's3'),
    'aws4_request',
  );
  return hmac(secret, text).toString('hex') === signature ? undefined : 'the signature is another';
}

/** ListObjectsV2, and version 1 as s3cmd asks. */
function listing({ objects, pageSize }: Pick<S3Server, 'objects' | 'pageSize'>, bucket: string, query: URLSearchParams): string {
  const prefix = query.get('prefix') ?? '';
  const after = query.get('continuation-token') ?? query.get('marker') ?? '';
  const keys = [...objects.keys()].filter((name) => name.startsWith(`${bucket}/`)).map((name) => name.slice(bucket.length + 1));
  const wanted = keys.filter((key) => key.startsWith(prefix) && key > after).sort();
  const page = wanted.slice(0, pageSize);
  const contents = page.map((key) => {
    const { body, modified } = objects.get(`${bucket}/${key}`) as { body: Buffer; modified: Date };
    const members = `<Key>${key}</Key><LastModified>${modified.toISOString()}</LastModified><ETag>${etagOf(body)}</ETag><Size>${body.length}</Size>`;
    return `<Contents>${members}<StorageClass>STANDARD</StorageClass></Contents>`;
  });
  const isTruncated = wanted.length > page.length;
  const next = isTruncated ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : '';
  return `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>${bucket}</Name><Prefix>${prefix}</Prefix><IsTruncated>${isTruncated}</IsTruncated>${next}${contents.join('')}</ListBucketResult>`;
}
