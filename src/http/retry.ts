// Which failures pass by themselves, and how long to wait for that. Pure.

export interface Patience {
  readonly tries: number;
  /** Before the second try; then doubled. A server's Retry-After takes its place, up to `retryAfterMaxMs`. */
  readonly backoffMs: number;
  readonly retryAfterMaxMs: number;
}

/** An answer that is none of those wanted. */
export class StatusError extends Error {
  readonly status: number;
  readonly retryAfter: string | undefined;

  constructor(status: number, retryAfter: string | undefined) {
    super(`invalid response status ${status}`);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** `attempt` counts from 1. Undefined: another try would end in the same way. */
export function retryPauseMs(error: unknown, attempt: number, patience: Patience): number | undefined {
  if (attempt >= patience.tries) return undefined;
  const backoffMs = patience.backoffMs * 2 ** (attempt - 1);
  if (!(error instanceof StatusError)) return isPassing(error) ? backoffMs : undefined;
  if (error.status !== 429 && error.status < 500) return undefined;
  return Math.min(readRetryAfterMs(error.retryAfter) ?? backoffMs, patience.retryAfterMaxMs);
}

/** A name that does not resolve, a certificate that does not hold, a full disk stay so. */
const passing = /^(?:ECONN|EPIPE|ETIMEDOUT|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|UND_ERR_(?!INVALID|ABORTED))/;

export function isPassing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code !== undefined && passing.test(code);
}

/** Seconds, or a date. */
export function readRetryAfterMs(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}
