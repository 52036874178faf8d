// `--filter name=value` of commands that list things, as docker's opts.FilterOpt reads it. What a filter means is said below; here only which there are.

import { TbuildError } from '../../base/errors.ts';

/** Of each name what was asked for; any of it will do. */
export type Filters = ReadonlyMap<string, readonly string[]>;

export const filterFlag = {
  short: 'f',
  value: 'filter',
  repeated: true,
  help: 'Filter output based on conditions provided',
} as const;

/** Throws `usage/bad-value`. */
export function parseFilters(texts: readonly string[], known: readonly string[]): Filters {
  const filters = new Map<string, string[]>();
  for (const text of texts) {
    if (text === '') continue;
    const at = text.indexOf('=');
    if (at < 0) throw new TbuildError('usage/bad-value', `bad format of filter (expected name=value): ${text}`);
    const name = text.slice(0, at).trim().toLowerCase();
    if (!known.includes(name)) {
      throw new TbuildError('usage/bad-value', `invalid filter '${name}'`, { hint: `there are ${known.join(', ')}` });
    }
    filters.set(name, [...(filters.get(name) ?? []), text.slice(at + 1).trim()]);
  }
  return filters;
}
