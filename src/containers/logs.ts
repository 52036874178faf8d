// What a container's monitor kept of its output: the files `log`, `log.1` and so on, the newest first, a JSON object for each line (docs/native.md,
// "Monitor"). Reads while they are written and renamed; writes nothing.

import { TbuildError } from '../base/errors.ts';
import type { Container } from './containers.ts';
import { isAlive } from './containers.ts';
import { readTime } from './moments.ts';
import { readLines } from './rotated-log.ts';
import type { ContainerSpec } from './spec.ts';

export interface LogOptions {
  /** Only so many of the last lines. */
  readonly tail?: number;
  /** Nanoseconds since the epoch. */
  readonly since?: bigint;
  readonly until?: bigint;
  /** Goes on until the container has ended. */
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

export interface LogEntry {
  /** With its line's end; a long line comes in pieces. */
  readonly text: string;
  readonly stream: 'stdout' | 'stderr';
  /** RFC 3339 with nanoseconds. */
  readonly time: string;
}

/** In the order they were written, many at a time. Throws `container/no-log`. */
export async function* readLog(container: Container, options: LogOptions): AsyncGenerator<readonly LogEntry[]> {
  if (container.spec.log.driver === 'none') {
    throw new TbuildError('container/no-log', 'configured logging driver does not support reading');
  }
  const { tail, follow, signal } = options;
  const goesOn = follow ? () => isAlive(container.state().status) : undefined;
  for await (const lines of readLines(container.directory, { tail, goesOn, signal })) {
    const { wanted, isOver } = select(lines.flatMap(parseEntry), options);
    if (wanted.length > 0) yield wanted;
    if (isOver) return;
  }
}

/** docker's logger.Info ExtraAttributes: `--log-opt labels=a,b` and `env=C` name what of the container is said with each entry. */
export function logAttributes({ log: { options }, labels, env }: ContainerSpec): string {
  const listed = (name: string) => (options[name] ?? '').split(',').filter((each) => each !== '');
  const variables = new Map(env.map((each) => [each.split('=', 1)[0]!, each.slice(each.indexOf('=') + 1)]));
  const found = [
    ...listed('labels').flatMap((name) => (Object.hasOwn(labels, name) ? [`${name}=${labels[name]}`] : [])),
    ...listed('env').flatMap((name) => (variables.has(name) ? [`${name}=${variables.get(name)}`] : [])),
  ];
  return found.sort().join(',');
}

/** A line that is none was cut short by a full disk, or a crash. */
function parseEntry(line: string): LogEntry[] {
  if (line === '') return [];
  try {
    const { log, stream, time } = JSON.parse(line) as { log: string; stream: LogEntry['stream']; time: string };
    return [{ text: log, stream, time }];
  } catch {
    return [];
  }
}

function select(entries: readonly LogEntry[], { since, until }: LogOptions): { wanted: readonly LogEntry[]; isOver: boolean } {
  if (since === undefined && until === undefined) return { wanted: entries, isOver: false };
  const wanted: LogEntry[] = [];
  for (const entry of entries) {
    const time = readTime(entry.time) ?? 0n;
    if (until !== undefined && time > until) return { wanted, isOver: true };
    if (since === undefined || time >= since) wanted.push(entry);
  }
  return { wanted, isOver: false };
}
