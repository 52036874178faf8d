// Bodies of answers that are read whole: bounded, whatever their headers promise.

import { TbuildError } from '../base/errors.ts';
import type { HttpResponse } from '../http/exchange.ts';
import { parseErrors, Refusal } from './failure.ts';
import { MAX_ANSWER_BYTES } from './limits.ts';

export async function readBytes({ body, url }: HttpResponse, limitBytes: number, what: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > limitBytes) {
      throw new TbuildError('registry/bad-answer', `${what} from ${url.host} has more than the ${limitBytes} bytes allowed`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

export async function readText(response: HttpResponse, limitBytes = MAX_ANSWER_BYTES): Promise<string> {
  return (await readBytes(response, limitBytes, 'the answer')).toString();
}

/** RFC 8288, of the one relation that registries use: the query of the page after this one, which leads nowhere else; undefined: this is the last. */
export function nextPageQuery({ header, url }: HttpResponse): string | undefined {
  const target = /<([^>]*)>\s*;\s*rel="?next"?/.exec(header('link') ?? '')?.[1];
  if (target === undefined) return undefined;
  return URL.canParse(target, url.href) ? new URL(target, url).search : '';
}

/** An answer with a status that was not wanted, with what it says of itself. */
export async function readRefusal(response: HttpResponse): Promise<Refusal> {
  const text = await readBytes(response, MAX_ERROR_BYTES, 'the error').then(String, () => '');
  return new Refusal(response.status, response.header('retry-after'), response.url.host, parseErrors(text));
}

const MAX_ERROR_BYTES = 64 << 10;
