// What has happened in a store, and what happens while somebody looks: the lines of its event log (base/event-log.ts), chosen as docker's daemon
// chooses them (moby daemon/events/filter.go).

import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { eventLog, type StoreEvent } from '../base/event-log.ts';
import type { Store } from '../base/store.ts';
import { readLines } from './rotated-log.ts';

export interface TimedEvent extends StoreEvent {
  /** Nanoseconds since the epoch. */
  readonly time: bigint;
}

export interface EventOptions {
  /** Nanoseconds since the epoch; unset: only what happens from now on. */
  readonly since?: bigint;
  /** Unset: without end. */
  readonly until?: bigint;
  readonly filters: EventFilters;
  readonly signal: AbortSignal;
}

export type EventFilters = ReadonlyMap<string, readonly string[]>;

export const eventFilters = ['container', 'event', 'image', 'label', 'network', 'scope', 'type', 'volume'];

export async function* readEvents(
  store: Pick<Store, 'path'>,
  { since, until, filters, signal }: EventOptions,
): AsyncGenerator<TimedEvent> {
  const directory = dirname(eventLog(store));
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const goesOn = () => !signal.aborted && (until === undefined || BigInt(Date.now()) * 1_000_000n < until);
  const tail = since === undefined && (until === undefined || goesOn()) ? 0 : undefined;
  const isWanted = eventTest(filters);
  for await (const lines of readLines(directory, { tail, goesOn, signal })) {
    for (const event of lines.flatMap(parseEvent)) {
      if (until !== undefined && event.time > until) return;
      if ((since === undefined || event.time >= since) && isWanted(event)) yield event;
    }
  }
}

/** What is no event was cut short by a full disk. */
function parseEvent(line: string): TimedEvent[] {
  try {
    const event = JSON.parse(line) as StoreEvent & { readonly time: string };
    return [{ ...event, time: BigInt(event.time) }];
  } catch {
    return [];
  }
}

type Test = (event: StoreEvent) => boolean;

/** Of each name any value will do; of labels all must hold. */
export function eventTest(filters: EventFilters): Test {
  const tests = [...filters].map(([name, values]) => tester[name]!(values));
  return (event) => tests.every((test) => test(event));
}

/** Of one type, by the beginning of an ID or of a name. */
const named =
  (type: StoreEvent['type']) =>
  (values: readonly string[]): Test =>
  (event) =>
    event.type === type && values.some((value) => event.id.startsWith(value) || (event.attributes.name ?? '').startsWith(value));

const tester: Readonly<Record<string, (values: readonly string[]) => Test>> = {
  container: named('container'),
  volume: named('volume'),
  network: named('network'),
  // `health_status` is every `health_status: …`.
  event: (values) => (event) => values.some((value) => event.action === value || event.action.startsWith(`${value}:`)),
  // What happens to containers of it, too.
  image: (values) => (event) => {
    const { image = '', name = '' } = event.attributes;
    const names = event.type === 'image' ? [event.id, name] : [image];
    return names.some((each) =>
      values.some((value) => each === value || each.split(':')[0] === value || each.startsWith(`sha256:${value}`)),
    );
  },
  label: (values) => (event) =>
    values.every((value) => {
      const at = value.indexOf('=');
      const key = at < 0 ? value : value.slice(0, at);
      return Object.hasOwn(event.attributes, key) && (at < 0 || event.attributes[key] === value.slice(at + 1));
    }),
  scope: (values) => () => values.includes('local'),
  type: (values) => (event) => values.some((value) => event.type.startsWith(value)),
};
