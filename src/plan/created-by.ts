// The texts of history entries that are more than the instruction's words (BuildKit: commitToHistory and its callers;
// they are what Go's %q and %v make of its types).

import { quote, quoteList } from '../dockerfile/go-text.ts';
import type { HealthcheckInstruction } from '../dockerfile/instructions.ts';
import type { DeclaredArg } from './stage-state.ts';

/** `RUN |2 A=1 B= /bin/sh -c make # buildkit`. */
export function runCreatedBy(
  args: readonly string[],
  declared: readonly DeclaredArg[],
  environment: ReadonlyMap<string, string>,
): string {
  const values = new Map(declared.map(({ name, value }) => [name, environment.get(name) ?? value ?? '']));
  const prefix = values.size === 0 ? [] : [`|${values.size}`, ...[...values].map(([name, value]) => `${name}=${value}`)];
  return `RUN ${[...prefix, ...args].join(' ')} # buildkit`;
}

/** `HEALTHCHECK &{["CMD-SHELL" "true"] "30s" "0s" "0s" "0s" '\x03'}`: Go's %q of a pointer to its struct. */
export function healthcheckCreatedBy(check: HealthcheckInstruction): string {
  const durations = [check.intervalNs, check.timeoutNs, check.startPeriodNs, check.startIntervalNs];
  const quoted = durations.map((duration) => quote(formatDuration(duration)));
  return `HEALTHCHECK &{${[quoteList(check.test), ...quoted, quoteRune(check.retries)].join(' ')}}`;
}

/** Go's time.Duration.String. */
export function formatDuration(nanoseconds: number): string {
  if (nanoseconds === 0) return '0s';
  if (nanoseconds < 0) return `-${formatDuration(-nanoseconds)}`;
  if (nanoseconds < 1e3) return `${nanoseconds}ns`;
  if (nanoseconds < 1e6) return `${nanoseconds / 1e3}µs`;
  if (nanoseconds < 1e9) return `${nanoseconds / 1e6}ms`;
  const hours = Math.floor(nanoseconds / 3600e9);
  const minutes = Math.floor((nanoseconds % 3600e9) / 60e9);
  const seconds = (nanoseconds % 60e9) / 1e9;
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}

/** %q of an integer: the character of that number. */
function quoteRune(number: number): string {
  const isCharacter = number <= 0x10ffff && (number < 0xd800 || number > 0xdfff);
  const character = isCharacter ? String.fromCodePoint(number) : '\ufffd';
  if (character === "'") return "'\\''";
  return character === '"' ? `'"'` : `'${quote(character).slice(1, -1)}'`;
}
