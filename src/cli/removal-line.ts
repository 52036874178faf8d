// What `image prune` and `system prune` say of an image that went, in docker's words. Pure.

import type { Removal } from '../images/store.ts';
import { familiarName } from '../oci/reference.ts';

export function removalLine(removal: Removal): string {
  return 'untagged' in removal ? `untagged: ${familiarName(removal.untagged)}` : `deleted: ${removal.deleted}`;
}
