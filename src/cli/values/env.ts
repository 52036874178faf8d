// --env, --env-file, --label, --label-file: NAME=value, on the command line and in files (docker/cli: opts/env.go, opts/file.go, opts/parse.go).

import { readFileSync } from 'node:fs';
import { TbuildError } from '../../base/errors.ts';
import type { Environment } from '../surroundings.ts';
import { badArgument } from './bad-argument.ts';

/** Docker's order: what -e says wins over the files. `NAME` alone takes the value from tbuild's own environment. */
export function readEnv(given: readonly string[], files: readonly string[], env: Environment): string[] {
  const complete = (entry: string): string[] => {
    const value = entry.includes('=') ? undefined : env[entry];
    return [value === undefined ? entry : `${entry}=${value}`];
  };
  for (const entry of given) {
    if (entry === '' || entry.startsWith('=')) throw badArgument('-e, --env', entry, `invalid environment variable: ${entry}`);
  }
  // A file's name that has no value here is left out; one of -e takes the image's away.
  const ofFiles = readLines(files, 'variables')
    .flatMap(complete)
    .filter((entry) => entry.includes('='));
  return [...ofFiles, ...given.flatMap(complete)];
}

export function readLabels(given: readonly string[], files: readonly string[]): Record<string, string> {
  for (const label of given) {
    if (label === '' || label.startsWith('=')) throw badArgument('-l, --label', label, `invalid label '${label}': empty name`);
  }
  return pairsOf([...readLines(files, 'labels'), ...given]);
}

/** `name=value` of --annotation: a value is needed. */
export function readAnnotations(given: readonly string[]): Record<string, string> {
  for (const pair of given) {
    if (!/^[^=]+=/.test(pair)) throw badArgument('--annotation', pair, `invalid annotation '${pair}': the form is key=value`);
  }
  return pairsOf(given);
}

/** A name without a value has an empty one; of two the last counts. */
export function pairsOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      return at < 0 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/** A line is NAME=value as it stands (no quotes, no expansion) or NAME; # starts a comment line. */
function readLines(paths: readonly string[], what: string): string[] {
  return paths.flatMap((path) => {
    const lines = readText(path, what)
      .replace(/^\ufeff/, '')
      .split(/\r?\n/);
    return lines.flatMap((raw, index) => {
      const line = raw.trimStart();
      if (line === '' || line.startsWith('#')) return [];
      const name = line.split('=', 1)[0]!;
      // The line itself may be a secret: it is not in the message.
      if (name === '' || /\s/.test(name)) {
        throw new TbuildError(
          'usage/bad-value',
          `${path}:${index + 1}: the name of ${what === 'labels' ? 'a label' : 'an environment variable'} is empty or has a space in it`,
        );
      }
      return [line];
    });
  });
}

function readText(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const called = what === 'labels' ? 'labels' : 'environment variables';
    throw new TbuildError('usage/unreadable-file', `cannot read the file of ${called} ${path}`, { cause });
  }
}
