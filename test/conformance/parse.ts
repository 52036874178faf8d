// 359 Dockerfiles, half of them of well-known repositories, against BuildKit's parser: what `tbuild parse --json` prints, but for the ranges.

import { type DockerfileDescription, describeDockerfile } from '../../src/dockerfile/describe.ts';
import { compareRows, type Deviation, difference, type Suite } from './suite.ts';

interface Row {
  readonly name: string;
  readonly dockerfile: string;
  readonly expected: DockerfileDescription;
}

export const parse: Suite = {
  name: 'parse',
  file: 'language/parse.json',
  total: 359,
  compare: (text) => compareRows(JSON.parse(text) as readonly Row[], compareFile),
};

function compareFile({ name, dockerfile, expected }: Row): Deviation | undefined {
  const actual = comparable(describeDockerfile(dockerfile, 'Dockerfile').description);
  const wanted = comparable(expected);
  const key = Object.keys({ ...wanted, ...actual }).find((member) => sorted(wanted[member]) !== sorted(actual[member]));
  if (key === undefined) return undefined;
  return { case: name, difference: `${key}: ${firstDifference(wanted[key], actual[key])}` };
}

/** What is ours beside the reference's members, at every level. */
const added = /^range$|_ranges?$|^comments$|^error$/;

function comparable({ lint_rules: rules, ...description }: DockerfileDescription): Record<string, unknown> {
  // The rules are in the order in which they were found first, and none that were found are none.
  const counted = rules === undefined || 'parse_error' in description ? {} : { lint_rules: [...rules].sort() };
  const text = JSON.stringify({ ...description, ...counted }, (key, value: unknown) => (added.test(key) ? undefined : value));
  return JSON.parse(text) as Record<string, unknown>;
}

const sorted = (value: unknown): string | undefined =>
  JSON.stringify(value, (_, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );

function firstDifference(wanted: unknown, actual: unknown): string {
  if (!Array.isArray(wanted) || !Array.isArray(actual)) return difference(wanted, actual);
  const index = wanted.findIndex((member, i) => sorted(member) !== sorted(actual[i]));
  return difference(wanted[index], actual[index]);
}
