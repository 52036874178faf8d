// Every failure a user can cause, as one class with a stable code. The family before the slash gives the exit code.
// Thrown where the fact is known, printed only by src/cli. A bug is an assertion (`internal/…`), never one of these.

export type Family =
  | 'usage'
  | 'dockerfile'
  | 'context'
  | 'registry'
  | 'auth'
  | 'image'
  | 'run'
  | 'container'
  | 'volume'
  | 'network'
  | 'store'
  | 'native'
  | 'unsupported'
  | 'internal'
  | 'cancelled';

/** Exit code by family. A RUN that fails exits 1; its own code is in the message. */
export const exitCodes: Record<Family, number> = {
  run: 1,
  container: 1,
  volume: 1,
  network: 1,
  usage: 2,
  dockerfile: 3,
  context: 4,
  registry: 5,
  auth: 5,
  image: 6,
  store: 7,
  native: 8,
  unsupported: 9,
  internal: 70,
  cancelled: 130,
};

export type ErrorCode = `${Family}/${string}`;

/** A half-open range in a Dockerfile: lines from 1, columns from 0 (UTF-16 units). */
export interface SourceRange {
  readonly startLine: number;
  readonly startColumn: number;
  readonly endLine: number;
  readonly endColumn: number;
}

/** Where in which text an error stands; `text` is the whole file, for the excerpt. */
export interface Location {
  readonly file: string;
  readonly text: string;
  readonly range: SourceRange;
}

export interface ErrorParts {
  readonly hint?: string | undefined;
  readonly where?: Location | undefined;
  readonly cause?: unknown;
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

export class TbuildError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly where: Location | undefined;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  /** `message`: lower case, names the operand, never a secret. */
  constructor(code: ErrorCode, message: string, parts: ErrorParts = {}) {
    super(message, parts.cause === undefined ? undefined : { cause: parts.cause });
    this.name = 'TbuildError';
    this.code = code;
    this.hint = parts.hint;
    this.where = parts.where;
    this.details = parts.details;
  }

  /** The same failure, with the place in a Dockerfile that it concerns. */
  at(where: Location): TbuildError {
    const { code, message, hint, details } = this;
    const located = new TbuildError(code, message, { hint, where, details, cause: this.cause });
    if (this.stack) located.stack = this.stack;
    return located;
  }

  get exitCode(): number {
    return exitCodes[this.code.slice(0, this.code.indexOf('/')) as Family];
  }
}

/** An invariant that only a bug can break. */
export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new TbuildError('internal/assertion', `this is a bug in tbuild: ${what}`);
}
