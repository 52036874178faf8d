// Durations as Go writes them: `1h30m`, `1.5s`, `100ms` (time.ParseDuration).

import { dockerfileError } from './errors.ts';

const nanoseconds: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** Nanoseconds. */
export function parseDuration(text: string): number {
  const match = /^(?<sign>[+-]?)(?<rest>.*)$/s.exec(text);
  // A long run of digits would be tried from each of them.
  const rest = text.length > 100 ? '' : (match?.groups?.rest ?? '');
  const pieces = [...rest.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)];
  if (rest !== '0' && (rest === '' || pieces.map(([piece]) => piece).join('') !== rest)) {
    throw dockerfileError('duration', `invalid duration "${text}"`);
  }
  const total = pieces.reduce((sum, [, number, unit]) => sum + Number(number) * nanoseconds[unit!]!, 0);
  // An int64 of Go.
  if (total >= 2 ** 63) throw dockerfileError('duration', `invalid duration "${text}"`);
  return Math.trunc(match?.groups?.sign === '-' ? -total : total);
}
