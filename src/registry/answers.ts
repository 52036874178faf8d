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

export async function readText(response: HttpResponse): Promise<string> {
  return (await readBytes(response, MAX_ANSWER_BYTES, 'the answer')).toString();
}

/** An answer with a status that was not wanted, with what it says of itself. */
export async function readRefusal(response: HttpResponse): Promise<Refusal> {
  const text = await readBytes(response, MAX_ERROR_BYTES, 'the error').then(String, () => '');
  return new Refusal(response.status, response.header('retry-after'), response.url.host, parseErrors(text));
}

const MAX_ERROR_BYTES = 64 << 10;
