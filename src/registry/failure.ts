// What went wrong with a registry, in words: its statuses and its own errors (distribution-spec: error codes), networks, certificates. The message
// says what a user can do something about, and never a token.

import { TbuildError } from '../base/errors.ts';
import { StatusError } from '../http/retry.ts';

/** One of the errors in an answer's body. */
export interface RegistryError {
  readonly code: string;
  readonly message: string;
}

/** An answer that is none of those wanted. */
export class Refusal extends StatusError {
  readonly errors: readonly RegistryError[];
  /** Who answered: it may be another host than the registry. */
  readonly host: string;

  constructor(status: number, retryAfter: string | undefined, host: string, errors: readonly RegistryError[]) {
    super(status, retryAfter);
    this.errors = errors;
    this.host = host;
  }
}

/** Docker Hub's quota of hours: another try in a minute would be refused like this one. */
export function isQuota(error: unknown): boolean {
  return error instanceof Refusal && error.status === 429 && error.errors.some(({ message }) => /pull rate limit/i.test(message));
}

/** Leniently: what is no such document has no errors to tell. Control characters of a server's do not reach a terminal. */
export function parseErrors(text: string): RegistryError[] {
  try {
    const { errors, details, message } = JSON.parse(text) as Record<string, unknown>;
    if (Array.isArray(errors)) {
      return errors.slice(0, 3).map((each: { code?: unknown; message?: unknown }) => ({
        code: readable(each?.code),
        message: readable(each?.message),
      }));
    }
    // Token servers.
    const said = readable(details ?? message);
    return said === '' ? [] : [{ code: '', message: said }];
  } catch {
    return [];
  }
}

function readable(value: unknown): string {
  return typeof value === 'string' ? value.replace(/[\p{C}\s]+/gu, ' ').slice(0, 300) : '';
}

export interface Asking {
  /** What is asked for: `docker.io/library/debian:12`, `the blob sha256:… of …`. */
  readonly subject: string;
  /** The registry, as users call it. */
  readonly registry: string;
  readonly action: 'pull' | 'push' | 'login';
  /** It has answered before. */
  readonly wasThere: boolean;
  /** Who is asked by: undefined is nobody, so that logging in might help. */
  readonly user: string | undefined;
  /** Why nobody is named who might have been. */
  readonly problem: TbuildError | undefined;
}

/** The error for whatever `send` ran into. */
export function explainFailure(error: unknown, asking: Asking): unknown {
  if (error instanceof TbuildError) return error;
  return error instanceof Refusal ? explainRefusal(error, asking) : explainNetwork(error, asking);
}

function explainRefusal(refusal: Refusal, asking: Asking): TbuildError {
  const { status, errors } = refusal;
  const { subject, registry } = asking;
  const said = errors
    .map(({ code, message }) => [code.toLowerCase(), message].filter((part) => part !== '').join(': '))
    .join('; ');
  const withSaid = (text: string) => (said === '' ? text : `${text}: ${said}`);
  const fail = (code: `registry/${string}` | `auth/${string}`, message: string, hint?: string) =>
    new TbuildError(code, message, { hint, details: { status } });
  if (status === 401 || status === 403) return explainDenial(refusal, asking, said);
  if (status === 404 && asking.action === 'push') {
    return fail(
      'registry/not-found',
      withSaid(`${registry} has no place for ${subject}`),
      'the repository may have to be made first',
    );
  }
  if (status === 404) return fail('registry/not-found', `${subject}: not found`);
  if (status === 413) return fail('registry/too-large', withSaid(`${subject}: ${registry} takes nothing so large`));
  if (status === 429)
    return fail('registry/rate-limited', withSaid(`${registry} has had too many requests`), quotaHint(refusal, asking));
  const answered = refusal.host === '' || refusal.host === registry ? registry : `${refusal.host}, for ${registry},`;
  if (status >= 500)
    return fail('registry/unavailable', withSaid(`${answered} answers ${status} when asked for ${subject}`), 'try again later');
  if (asking.action === 'push') return fail('registry/refused', withSaid(`${answered} refuses ${subject} (${status})`));
  return fail('registry/bad-answer', withSaid(`${answered} answers ${status} when asked for ${subject}`));
}

/** Registries answer so for what is not there, too, to whoever could not see it: BuildKit's words say both. */
function explainDenial({ status }: Refusal, { subject, registry, user, problem, action }: Asking, said: string): TbuildError {
  const code = status === 401 ? 'auth/unauthorized' : 'auth/denied';
  if (action === 'login') {
    const what = `${registry} does not take these credentials`;
    return new TbuildError(code, said === '' ? what : `${what}: ${said}`, { details: { status } });
  }
  const message = `${subject}: ${action} access denied, repository does not exist or may require authorization`;
  const hint =
    problem?.message ??
    (user === undefined
      ? `tbuild login${registry === 'docker.io' ? '' : ` ${registry}`} says who you are`
      : `${registry} was asked as ${user}`);
  return new TbuildError(code, said === '' ? message : `${message}: server message: ${said}`, { hint, details: { status } });
}

function quotaHint(refusal: Refusal, { user }: Asking): string {
  if (isQuota(refusal)) {
    return user === undefined
      ? 'Docker Hub counts pulls of those who are not logged in by their address: tbuild login, or a mirror in registries.conf'
      : 'Docker Hub counts the pulls of an account: wait some hours, or use a mirror (registries.conf)';
  }
  return refusal.retryAfter === undefined ? 'try again later' : `it says to try again after: ${readable(refusal.retryAfter)}`;
}

const untrusted =
  /^(?:CERT_|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|ERR_TLS_CERT_ALTNAME_INVALID|HOSTNAME_MISMATCH)/;
const noTls = /^(?:ERR_SSL_WRONG_VERSION_NUMBER|ERR_SSL_PACKET_LENGTH_TOO_LONG|EPROTO)/;

function explainNetwork(cause: unknown, { registry, subject, wasThere, action }: Asking): unknown {
  const code = (cause as NodeJS.ErrnoException).code ?? '';
  const why = messageOf(cause);
  if (untrusted.test(code)) {
    return new TbuildError('registry/certificate', `the certificate of ${registry} is not trusted: ${why}`, {
      cause,
      hint: `the certificate of its authority goes to /etc/docker/certs.d/${registry}/ca.crt`,
    });
  }
  if (noTls.test(code) || /wrong version number|packet length too long/.test(why)) {
    return new TbuildError('registry/no-tls', `${registry} does not speak TLS`, {
      hint: 'where it may do without, say so in /etc/containers/registries.conf: insecure = true',
    });
  }
  if (code === '') return cause;
  const broke = `${subject} does not arrive ${action === 'push' ? 'at' : 'from'} ${registry}: ${why}`;
  if (wasThere) return new TbuildError('registry/interrupted', broke, { cause });
  return new TbuildError('registry/unreachable', `cannot reach the registry ${registry}: ${why}`, { cause });
}

/** Several addresses that all failed are one error without words of its own. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return messageOf(error.errors[0]);
  const { message, code } = error as NodeJS.ErrnoException;
  return message || code || 'no answer';
}
