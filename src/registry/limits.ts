// How long a registry is waited for, and how much it may say. Tests have shorter ones.

import type { Patience } from '../http/retry.ts';

export interface RegistryLimits extends Patience {
  readonly connectMs: number;
  /** Without a byte, be it the answer's first. */
  readonly idleMs: number;
  readonly redirects: number;
  /** A blob that got on by this much since its connection last broke has all its tries again. */
  readonly progressBytes: number;
}

export const registryLimits: RegistryLimits = {
  connectMs: 30_000,
  idleMs: 60_000,
  redirects: 10,
  progressBytes: 1 << 20,
  tries: 5,
  backoffMs: 500,
  retryAfterMaxMs: 60_000,
};

/** Of an error, a token, a page of tags: whatever is no manifest and no blob. */
export const MAX_ANSWER_BYTES = 4 << 20;
/** A page of tags: there are registries that know no pages, and repositories with as many tags as a cache has entries. */
export const MAX_TAGS_BYTES = 64 << 20;
