// How a container ends and begins again, and where its words go: --restart, --stop-signal, --stop-timeout, --log-driver, --log-opt
// (docker/cli: opts/parse.go; moby: container, jsonfilelog).

import { readSize } from '../../base/size.ts';
import type { ContainerSpec, RestartPolicy } from '../../containers/spec.ts';
import { isSignal } from '../../plan/signals.ts';
import { badArgument, badValue } from './bad-argument.ts';
import { pairsOf } from './env.ts';

const POLICIES = ['no', 'always', 'on-failure', 'unless-stopped'] as const;

/** `always`, `on-failure:3`; `''` is `no`. Also of `update`. */
export function parseRestart(text: string): RestartPolicy {
  const [written = '', count, ...rest] = text.split(':');
  const invalid = (why: string) => badValue(`invalid restart policy${why}`);
  if (written === '' && count !== undefined) throw invalid(' format: no policy provided before colon');
  if (rest.length > 0 || (count !== undefined && !/^\d{1,9}$/.test(count)))
    throw invalid(' format: maximum retry count must be an integer');
  const name = POLICIES.find((known) => known === (written || 'no'));
  if (!name) throw invalid(`: unknown policy '${written}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`);
  if (count !== undefined && name !== 'on-failure') throw invalid(": maximum retry count can only be used with 'on-failure'");
  return { name, maximumRetries: Number(count ?? 0) };
}

export function parseStopSignal(text: string): string {
  if (!isSignal(text)) throw badValue(`invalid signal: ${text}`, 'a name as SIGTERM, or a number');
  return text;
}

/** Seconds; -1: for ever. Also of `stop` and `restart`. */
export function parseSeconds(flag: string, text: string): number {
  if (!/^-?\d{1,9}$/.test(text)) throw badArgument(flag, text, 'it is no number of seconds');
  return Number(text);
}

const LOG_OPTIONS = [
  'max-size',
  'max-file',
  'compress',
  'labels',
  'labels-regex',
  'env',
  'env-regex',
  'tag',
  'mode',
  'max-buffer-size',
];

/** Lines are rotated by size; what else docker's logs can have is taken and has no effect, which `tell` is told. */
export function parseLog(
  driver: string | undefined,
  options: readonly string[],
  tell: (line: string) => void,
): ContainerSpec['log'] {
  const name = driver || 'json-file';
  if (name !== 'json-file' && name !== 'local' && name !== 'none')
    throw badValue(`logger: no log driver named '${name}' is registered`, 'there are json-file, local and none');
  if (name === 'none' && options.length > 0) throw badValue('invalid logging opts for driver none');
  const given = pairsOf(options);
  for (const [key, value] of Object.entries(given)) {
    if (!LOG_OPTIONS.includes(key)) throw badValue(`unknown log opt '${key}' for ${name} log driver`);
    if (key === 'max-size' && value !== '-1' && readSize(value) === undefined) throw badValue(`invalid max-size: ${value}`);
    if (key === 'max-file' && !(/^\d{1,5}$/.test(value) && Number(value) > 0)) throw badValue('max-file cannot be less than 1');
    if (key !== 'max-size' && key !== 'max-file')
      tell(`--log-opt ${key} has no effect: logs are rotated by max-size and max-file`);
  }
  return { driver: name, options: given };
}
