// Of several processes that want a layer which is far away, one fetches it: the others wait, and find it in the store by its diff ID. For one that
// another registry sends nobody waits, for that may take as long as somebody likes. Who holds a lock waits for no other, and whoever dies lets go.

import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { hexOf, sha256 } from '../base/digest.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { FarLayer } from './image.ts';

const POLL_MS = 50;

/** `check` throws when there is no more reason to wait. */
export async function withLayerLock<T>(
  { store, serve }: Workplace,
  { diffId, from }: FarLayer,
  check: () => void,
  work: () => Promise<T>,
): Promise<T> {
  const path = store.path('locks', `layer-${hexOf(sha256(`${from} ${diffId}`))}`);
  for (;;) {
    check();
    // Not waited for in the helper: nobody could be called away from there.
    const { lock } = await serve.call('lock', { path, wait: false });
    if (lock === null) {
      await sleep(POLL_MS);
      continue;
    }
    try {
      return await work();
    } finally {
      rmSync(path, { force: true });
      await serve.call('unlock', { lock });
    }
  }
}
