// --health-*: how it is found out whether a container works (docker/cli: opts.go; moby: daemon/create.go, verifyHealthConfig).

import type { CreateOptions, HealthRequest } from '../../containers/create-options.ts';
import { parseDuration } from '../../dockerfile/duration.ts';
import { badArgument, badValue } from './bad-argument.ts';

const DURATIONS = {
  'health-interval': ['interval', 'Interval'],
  'health-timeout': ['timeout', 'Timeout'],
  'health-start-period': ['startPeriod', 'StartPeriod'],
  'health-start-interval': ['startInterval', 'StartInterval'],
} as const;

type HealthFlags = Readonly<Record<keyof typeof DURATIONS | 'health-cmd' | 'health-retries', string | undefined>> & {
  readonly 'no-healthcheck': boolean;
};

/** Undefined: the image's. */
export function parseHealth(flags: HealthFlags): CreateOptions['health'] {
  const request: { -readonly [Key in keyof HealthRequest]: HealthRequest[Key] } = {};
  if (flags['health-cmd']) request.command = flags['health-cmd'];
  for (const [flag, [key, called]] of Object.entries(DURATIONS)) {
    const duration = readDuration(`--${flag}`, flags[flag as keyof typeof DURATIONS]);
    if (duration === 0) continue; // As docker: the image's.
    if (duration < 1e6) throw badValue(`${called} in Healthcheck cannot be less than 1ms`);
    request[key] = duration;
  }
  const retries = flags['health-retries'] ?? '0';
  if (!/^-?\d{1,9}$/.test(retries)) throw badArgument('--health-retries', retries, 'it is no number');
  if (Number(retries) < 0) throw badValue('--health-retries cannot be negative');
  if (Number(retries) > 0) request.retries = Number(retries);
  const isAsked = Object.keys(request).length > 0;
  if (flags['no-healthcheck'] && isAsked) throw badValue('--no-healthcheck conflicts with --health-* options');
  return flags['no-healthcheck'] ? 'none' : isAsked ? request : undefined;
}

function readDuration(flag: string, text = '0'): number {
  let duration: number;
  try {
    duration = parseDuration(text);
  } catch {
    throw badArgument(flag, text, `time: invalid duration ${JSON.stringify(text)}`, 'for example 30s or 1m30s');
  }
  if (duration < 0) throw badValue(`${flag} cannot be negative`);
  return duration;
}
