// `--since` and `--until`: a time, or how long ago (moby api/types/time GetTimestamp). Nanoseconds since the epoch, which only a bigint can hold. Pure.

import { TbuildError } from '../base/errors.ts';
import { parseDuration } from '../dockerfile/duration.ts';

const SECOND = 1_000_000_000n;

/** `42m`, `2026-01-31`, `2026-01-31T12:00:00.5+01:00`, `1767225600.25`; without a zone it is the local time. Throws `usage/bad-value`. */
export function parseMoment(flag: string, text: string, nowMs: number): bigint {
  const unix = /^(\d+)(?:\.(\d{1,9})\d*)?$/.exec(text);
  if (unix) return BigInt(unix[1]!) * SECOND + fraction(unix[2]);
  const time = readTime(text);
  if (time !== undefined) return time;
  try {
    return BigInt(nowMs) * 1_000_000n - BigInt(Math.trunc(parseDuration(text)));
  } catch (cause) {
    throw new TbuildError(
      'usage/bad-value',
      `invalid value for "${flag}": ${JSON.stringify(text)} is neither a time nor a duration`,
      {
        cause,
        hint: 'for example 42m, 2026-01-31T12:00:00Z or 1767225600',
      },
    );
  }
}

/** RFC 3339 with nanoseconds, as logs have it. Undefined: it is none. */
export function readTime(text: string): bigint | undefined {
  const parts = /^(\d{4}-\d\d-\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9})\d*)?)?)?)?(Z|[+-]\d\d:\d\d)?$/i.exec(text);
  if (!parts) return undefined;
  const [, day, hours = '00', minutes = '00', seconds = '00', part, zone = ''] = parts;
  const ms = Date.parse(`${day}T${hours}:${minutes}:${seconds}${zone.toUpperCase()}`);
  return Number.isNaN(ms) ? undefined : BigInt(ms) * 1_000_000n + fraction(part);
}

const fraction = (digits = ''): bigint => BigInt(digits.padEnd(9, '0'));

/** With nanoseconds, all nine of them. */
export function formatMoment(moment: bigint): string {
  const at = new Date(Number(moment / 1_000_000n));
  const nanoseconds = String(moment % SECOND).padStart(9, '0');
  return at.toISOString().replace(/\.\d+Z$/, `.${nanoseconds}Z`);
}

/** The same in the machine's own zone: `2026-01-31T13:00:00.000000000+01:00`. */
export function formatLocalMoment(moment: bigint): string {
  const ms = Number(moment / 1_000_000n);
  const minutes = -new Date(ms).getTimezoneOffset();
  if (minutes === 0) return formatMoment(moment);
  const two = (number: number) => String(Math.floor(number)).padStart(2, '0');
  const zone = `${minutes < 0 ? '-' : '+'}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`;
  return formatMoment(moment + BigInt(minutes) * 60n * SECOND).replace(/Z$/, zone);
}
