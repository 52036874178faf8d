// What the build cache holds as a table: `du`, and what `prune` says that it removed. Pure.

import { isReclaimable } from '../../upkeep/prune.ts';
import type { UsageItem } from '../../upkeep/usage.ts';
import { formatAge, formatSize } from '../units.ts';
import { alignColumns } from './table.ts';

const DESCRIPTION_MAX = 60;

export function formatUsage(items: readonly UsageItem[], { isWhole, nowMs }: { isWhole: boolean; nowMs: number }): string {
  const header = ['ID', 'TYPE', 'RECLAIMABLE', 'SIZE', 'LAST USED', 'DESCRIPTION'];
  const rows = items.map((item) => [
    isWhole ? item.id : item.id.slice(0, 12),
    item.type,
    String(isReclaimable(item)),
    formatSize(item.sizeBytes),
    formatAge(new Date(item.lastUsed).toISOString(), nowMs),
    isWhole ? item.description : shorten(item.description),
  ]);
  return alignColumns([header, ...rows], { padding: 3 });
}

function shorten(text: string): string {
  return text.length <= DESCRIPTION_MAX ? text : `${text.slice(0, DESCRIPTION_MAX - 1)}…`;
}
