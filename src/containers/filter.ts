// `ps --filter`, with the meanings of moby's daemon/list.go: of each name any value will do (of labels all must hold), and every name must.

import { TbuildError } from '../base/errors.ts';
import { parseBool } from '../base/parse-bool.ts';
import type { Connections } from './connections.ts';
import { type Container, isAlive } from './containers.ts';
import type { ContainerState } from './state.ts';

export type ContainerFilters = ReadonlyMap<string, readonly string[]>;

export const containerFilters = [
  'ancestor',
  'before',
  'exited',
  'expose',
  'health',
  'id',
  'is-task',
  'label',
  'name',
  'network',
  'publish',
  'since',
  'status',
  'volume',
];

interface Wanted {
  readonly all: boolean;
  readonly last?: number;
  readonly filters: ContainerFilters;
}

interface Lookup {
  find(nameOrId: string): Container;
  findImage(nameOrId: string): { readonly id: string; readonly layers: readonly string[] } | undefined;
}

interface Listed extends Connections {
  readonly container: Container;
  readonly state: ContainerState;
}

type Test = (listed: Listed) => boolean;

/** Throws `usage/bad-value`, `container/unknown`. */
export function containerTest({ all, last, filters }: Wanted, lookup: Lookup): Test {
  const tests = [...filters].map(([name, values]) => tester[name]!(values, lookup));
  const isEveryState = all || last !== undefined || filters.has('status');
  return (listed) => (isEveryState || isAlive(listed.state.status)) && tests.every((test) => test(listed));
}

const tester: Readonly<Record<string, (values: readonly string[], lookup: Lookup) => Test>> = {
  ancestor: (values, { findImage }) => {
    const images = values.flatMap((value) => findImage(value) ?? []);
    return ({ container: { spec } }) => images.some((image) => image.id === spec.image.id || isBelow(image.layers, spec.layers));
  },
  before: (values, { find }) => {
    const limits = values.map(find);
    return ({ container }) => limits.every(({ id, created }) => container.id !== id && container.created <= created);
  },
  exited: (values) => {
    const codes = values.map(integer('exited'));
    return ({ state: { status, exitCode } }) => !isAlive(status) && codes.includes(exitCode);
  },
  expose: (values) => {
    const wanted = new Set(values.flatMap(portsOf));
    return ({ container: { spec } }) => spec.exposed.some((port) => wanted.has(port));
  },
  health: (values) => {
    for (const value of values) {
      if (!['none', 'starting', 'healthy', 'unhealthy'].includes(value))
        throw wrong(`unrecognized filter value for health: ${value}`);
    }
    return ({ state }) => values.includes(state.health?.status ?? 'none');
  },
  id: (values) => {
    const matches = matcher(values);
    return ({ container }) => matches(container.id);
  },
  'is-task': (values) => {
    const isTask = values.map(parseBool);
    if (isTask.includes(undefined)) throw wrong(`invalid filter 'is-task=${values[isTask.indexOf(undefined)]}'`);
    return () => isTask.includes(false);
  },
  label:
    (values) =>
    ({ container: { spec } }) =>
      values.every((value) => hasLabel(spec.labels, value)),
  name: (values) => {
    const matches = matcher(values);
    return ({ container: { name } }) => matches(name) || matches(`/${name}`);
  },
  network: (values) => (listed) => listed.networks.some(({ network }) => values.includes(network)),
  publish: (values) => {
    const wanted = new Set(values.flatMap(portsOf));
    return ({ container: { spec }, published }) =>
      [...spec.ports, ...published].some(({ containerPort, protocol }) => wanted.has(`${containerPort}/${protocol}`));
  },
  since: (values, { find }) => {
    const limits = values.map(find);
    return ({ container }) => limits.every(({ id, created }) => container.id !== id && container.created >= created);
  },
  status: (values) => {
    for (const value of values) {
      const states = ['created', 'restarting', 'running', 'removing', 'paused', 'exited', 'dead'];
      if (!states.includes(value)) throw wrong(`unrecognised filter value for status: ${value}`);
    }
    return ({ state: { status } }) => values.includes(status);
  },
  volume: (values) => {
    return ({ container: { spec } }) =>
      spec.mounts.some((mount) => {
        const source = mount.type === 'volume' ? mount.name : mount.type === 'bind' ? mount.source : '';
        return values.some((value) => value === source || value === mount.target);
      });
  },
};

const wrong = (message: string) => new TbuildError('usage/bad-value', message);

/** For names: one value is the text, or matches it as a regular expression (moby, api/types/filters: Match). */
export function matcher(values: readonly string[]): (text: string) => boolean {
  const patterns = values.flatMap((value) => {
    try {
      return [new RegExp(value)];
    } catch {
      return []; // Go's matches nothing, either.
    }
  });
  return (text) => values.includes(text) || patterns.some((pattern) => pattern.test(text));
}

/** `key`, or `key=value` (moby, api/types/filters: MatchKVList). */
export function hasLabel(labels: Readonly<Record<string, string>>, text: string): boolean {
  const at = text.indexOf('=');
  const key = at < 0 ? text : text.slice(0, at);
  return Object.hasOwn(labels, key) && (at < 0 || labels[key] === text.slice(at + 1));
}

const integer = (name: string) => (text: string) => {
  if (!/^[+-]?\d+$/.test(text)) throw wrong(`invalid filter '${name}=${text}': it is a number`);
  return Number(text);
};

/** `80`, `80/udp`, `8000-8010/tcp`. */
function portsOf(text: string): string[] {
  const [, from, to = from, protocol = 'tcp'] = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/.exec(text) ?? [];
  if (from === undefined || Number(to) > 65_535 || Number(to) < Number(from)) throw wrong(`invalid filter: "${text}" is no port`);
  return Array.from({ length: Number(to) - Number(from) + 1 }, (_, at) => `${Number(from) + at}/${protocol}`);
}

/** One was built on the other. */
function isBelow(layers: readonly string[], above: readonly string[]): boolean {
  return layers.length > 0 && layers.length < above.length && layers.every((layer, at) => above[at] === layer);
}
