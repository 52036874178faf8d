// Which images `images` shows: the pattern it is given, and `--filter` with the meanings of moby's daemon/containerd/image_list.go. Pure.

import { TbuildError } from '../base/errors.ts';
import { parseBool } from '../base/parse-bool.ts';
import { parseMoment } from '../containers/moments.ts';
import { matchesGlob, parseGlob } from '../context/glob.ts';
import { createdMs, type ImageRow } from './lists/image-rows.ts';
import type { Filters } from './values/filter.ts';

export const imageFilters = ['before', 'dangling', 'label', 'reference', 'since', 'until'];

type Test = (row: ImageRow) => boolean;

interface Lookup {
  /** When an image was made, in ms. Throws `image/unknown`. */
  readonly createdOf: (nameOrId: string) => number;
  readonly nowMs: number;
}

/** Throws `usage/bad-value`, `image/unknown`. */
export function imageTest(filters: Filters, lookup: Lookup): Test {
  const tests = [...filters].map(([name, values]) => tester[name]!(values, lookup));
  return (row) => tests.every((test) => test(row));
}

const tester: Readonly<Record<string, (values: readonly string[], lookup: Lookup) => Test>> = {
  before: (values, { createdOf }) => {
    const limits = values.map(createdOf);
    return (row) => limits.every((limit) => createdMs(row) < limit);
  },
  dangling: (values) => {
    const isWanted = values.map(parseBool);
    if (isWanted.includes(undefined)) throw invalid('dangling', values[isWanted.indexOf(undefined)]!);
    return ({ repository }) => isWanted.includes(repository === undefined);
  },
  label: (values) => {
    const wanted = values.map(
      (value) => [value.split('=', 1)[0]!, value.includes('=') ? value.slice(value.indexOf('=') + 1) : ''] as const,
    );
    return ({ labels }) => wanted.every(([key, value]) => Object.hasOwn(labels, key) && (value === '' || labels[key] === value));
  },
  reference: (values) => {
    const tests = values.map(namePattern);
    return (row) => tests.some((test) => test(row));
  },
  since: (values, { createdOf }) => {
    const limits = values.map(createdOf);
    return (row) => limits.every((limit) => createdMs(row) > limit);
  },
  until: (values, { nowMs }) => {
    const limits = values.map((value) => Number(parseMoment('until', value, nowMs) / 1_000_000n));
    return (row) => limits.every((limit) => createdMs(row) < limit);
  },
};

const invalid = (name: string, value: string) => new TbuildError('usage/bad-value', `invalid filter '${name}=${value}'`);

/** `app` is every tag of app, `app:1` that one; `*` stops at slashes. */
export function namePattern(pattern: string): Test {
  const glob = parseGlob(pattern);
  if (!glob) throw new TbuildError('usage/bad-value', `invalid filter 'reference=${pattern}': syntax error in pattern`);
  return ({ repository, tag, digest }) => {
    if (repository === undefined) return false;
    const whole = tag === undefined ? `${repository}@${digest}` : `${repository}:${tag}`;
    return matchesGlob(glob, repository) || matchesGlob(glob, whole);
  };
}
