// Secrets given to a build: read once at its start, held in memory, never in a key, a layer, a log or an event.

import { readFileSync } from 'node:fs';
import { TbuildError } from '../base/errors.ts';

/** Exactly one of `file` and `env` is set. */
export interface Secret {
  readonly id: string;
  readonly file?: string;
  readonly env?: string;
}

/** As BuildKit has it (session/secrets). */
const MAX_BYTES = 500 * 1024;

/** Throws `usage/secret` for one that cannot be read. */
export function readSecrets(secrets: readonly Secret[]): ReadonlyMap<string, Buffer> {
  return new Map(secrets.map((secret) => [secret.id, readSecret(secret)]));
}

function readSecret({ id, file, env }: Secret): Buffer {
  if (file === undefined) {
    const value = process.env[env ?? id];
    if (value === undefined)
      throw new TbuildError('usage/secret', `cannot read the secret ${id}: the environment has no ${env ?? id}`);
    return Buffer.from(value);
  }
  let content: Buffer;
  try {
    content = readFileSync(file);
  } catch (cause) {
    throw new TbuildError('usage/secret', `cannot read the secret ${id} from ${file}: ${(cause as NodeJS.ErrnoException).code}`, {
      cause,
    });
  }
  if (content.length > MAX_BYTES)
    throw new TbuildError('usage/secret', `the secret ${id} is ${content.length} bytes; at most ${MAX_BYTES} are allowed`);
  return content;
}
