// `--filter` of what removes things that nobody uses (moby daemon/prune.go): before every `until`, with every `label`, and with none of `label!`. Pure.

import { hasLabel } from '../../containers/filter.ts';
import { parseMoment } from '../../containers/moments.ts';
import type { Filters } from './filter.ts';

export const pruneFilters = ['label', 'label!', 'until'];

export const pruneFilterFlag = {
  value: 'filter',
  repeated: true,
  help: 'Provide filter values (e.g. "until=<timestamp>")',
} as const;

interface Thing {
  /** In ms since the epoch. */
  readonly created: number;
  readonly labels: Readonly<Record<string, string>>;
}

export function pruneTest(filters: Filters, nowMs: number): (thing: Thing) => boolean {
  const untils = (filters.get('until') ?? []).map((text) => Number(parseMoment('until', text, nowMs) / 1_000_000n));
  const [wanted, unwanted] = [filters.get('label') ?? [], filters.get('label!') ?? []];
  return ({ created, labels }) =>
    untils.every((until) => created < until) &&
    wanted.every((text) => hasLabel(labels, text)) &&
    !unwanted.some((text) => hasLabel(labels, text));
}
