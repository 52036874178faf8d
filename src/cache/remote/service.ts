// HTTP with the services that caches are kept in: tried again where a failure may pass, bounded in time; an answer that was not wanted is an error that
// says what the service said. URLs that hold signatures are never in a message.

import { setTimeout as sleep } from 'node:timers/promises';
import { TbuildError } from '../../base/errors.ts';
import { Agents } from '../../http/agents.ts';
import { type Exchange, exchange, type HttpResponse } from '../../http/exchange.ts';
import { retryPauseMs, StatusError } from '../../http/retry.ts';

const LIMITS = { connectMs: 30_000, idleMs: 60_000, tries: 4, backoffMs: 500, retryAfterMaxMs: 60_000 };
const ERROR_MAX_BYTES = 16 << 10;

export interface ServiceRequest {
  readonly method: Exchange['method'];
  readonly url: URL;
  /** Made anew for each try: signatures have a time in them. */
  readonly headers: () => Readonly<Record<string, string>>;
  readonly body?: NonNullable<Exchange['body']>;
  readonly statuses: readonly number[];
  /** As messages name it. */
  readonly subject: string;
}

export class Service {
  readonly #agents = new Agents(LIMITS);
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  async ask(asked: ServiceRequest): Promise<HttpResponse> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(asked);
      } catch (error) {
        this.#signal.throwIfAborted();
        const pauseMs = retryPauseMs(error instanceof Refused ? error.status : error, attempt, LIMITS);
        if (pauseMs === undefined) throw explain(error, asked);
        await sleep(pauseMs, undefined, { signal: this.#signal });
      }
    }
  }

  async #once({ method, url, headers, body, statuses }: ServiceRequest): Promise<HttpResponse> {
    const response = await exchange(this.#agents, {
      method,
      url,
      headers: { 'user-agent': 'tbuild', 'accept-encoding': 'identity', ...headers() },
      authorization: undefined,
      signal: this.#signal,
      redirects: 0,
      refuse: (why) => new TbuildError('registry/cache-service', `${url.host} ${why}`),
      ...(body && { body }),
    });
    if (statuses.includes(response.status)) return response;
    const said = await readText(response, ERROR_MAX_BYTES).catch(() => '');
    throw new Refused(new StatusError(response.status, response.header('retry-after')), said);
  }

  close(): Promise<void> {
    return this.#agents.destroy();
  }
}

class Refused extends Error {
  readonly status: StatusError;

  constructor(status: StatusError, said: string) {
    super(sayError(said));
    this.status = status;
  }
}

/** XML of S3 and Azure, JSON of Twirp: what is meant for people. */
function sayError(said: string): string {
  return (/<Message>([^<]{1,300})/i.exec(said) ?? /"(?:msg|message)"\s*:\s*"([^"]{1,300})/.exec(said))?.[1] ?? '';
}

function explain(error: unknown, { url, subject }: ServiceRequest): unknown {
  if (error instanceof TbuildError) return error;
  const said = (error as Error).message;
  const status = error instanceof Refused ? error.status.status : undefined;
  const why = status === undefined ? `cannot be asked: ${said}` : `answered ${status}${said === '' ? '' : `: ${said}`}`;
  return new TbuildError('registry/cache-service', `${subject}: ${url.host} ${why}`, { cause: error, details: { status } });
}

export async function readText({ body }: HttpResponse, limitBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > limitBytes) throw new TbuildError('registry/cache-service', `an answer has more than ${limitBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

export function statusOf(error: unknown): unknown {
  return error instanceof TbuildError ? error.details?.status : undefined;
}
