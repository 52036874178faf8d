// `--filter` of `du` and `prune`, as docker and buildx write it: name=value, each name several times at will (any of them), all names (every one).

import { TbuildError } from '../../base/errors.ts';
import { parseDuration } from '../../dockerfile/duration.ts';
import { type UsageItem, type UsageType, usageTypes } from '../../upkeep/usage.ts';
import { nearest } from '../nearest.ts';

export const filterFlag = {
  value: 'filter',
  repeated: true,
  help: 'Only what fits: "until=24h", "type=exec.cachemount", "id=…"',
} as const;

export interface UsageFilters {
  readonly types?: readonly UsageType[];
  readonly ids?: readonly string[];
  /** In ms since the epoch. */
  readonly unusedSince?: number;
}

export function readUsageFilters(texts: readonly string[], nowMs: number): UsageFilters {
  const types: UsageType[] = [];
  const ids: string[] = [];
  let unusedSince: number | undefined;
  for (const text of texts) {
    const at = text.indexOf('=');
    const [name, value] = [text.slice(0, Math.max(at, 0)), text.slice(at + 1)];
    if (name === 'type') types.push(readType(value));
    else if (name === 'id') ids.push(value);
    else if (name === 'until' || name === 'unused-for')
      unusedSince = Math.min(unusedSince ?? nowMs, readMoment(text, value, nowMs));
    else throw new TbuildError('usage/bad-value', `--filter takes until=…, type=… or id=…, not "${text}"`);
  }
  return {
    ...(types.length > 0 && { types }),
    ...(ids.length > 0 && { ids }),
    ...(unusedSince !== undefined && { unusedSince }),
  };
}

/** Whether one fits. */
export function parseUsageFilters(texts: readonly string[], nowMs: number): (item: UsageItem) => boolean {
  const { types, ids, unusedSince } = readUsageFilters(texts, nowMs);
  return ({ type, id, lastUsed }) =>
    (types?.includes(type) ?? true) &&
    (ids?.some((beginning) => id.startsWith(beginning)) ?? true) &&
    (unusedSince === undefined || lastUsed < unusedSince);
}

function readType(value: string): UsageType {
  const known = usageTypes.find((type) => type === value);
  if (known) return known;
  const meant = nearest(value, usageTypes);
  const hint = meant ? `did you mean ${meant}?` : `there are ${usageTypes.join(', ')}`;
  throw new TbuildError('usage/bad-value', `there is no type "${value}"`, { hint });
}

/** `24h`, `7d`: so long ago; or a time. */
function readMoment(text: string, value: string, nowMs: number): number {
  const days = /^(\d+)d$/.exec(value)?.[1];
  if (days !== undefined) return nowMs - Number(days) * 86_400_000;
  const moment = /^\d{4}-\d\d-\d\d/.test(value) ? Date.parse(value) : Number.NaN;
  if (!Number.isNaN(moment)) return moment;
  try {
    return nowMs - parseDuration(value) / 1e6;
  } catch (cause) {
    throw new TbuildError('usage/bad-value', `--filter ${text}: "${value}" is neither a duration nor a time`, {
      cause,
      hint: 'for example until=24h, until=7d or until=2026-01-31T12:00:00Z',
    });
  }
}
