// Networks as rows of `network ls`, and which of them a filter means (docker/cli cli/command/network/formatter.go, moby daemon/network/filter.go). Pure.

import { TbuildError } from '../../base/errors.ts';
import { parseBool } from '../../base/parse-bool.ts';
import { hasLabel, matcher } from '../../containers/filter.ts';
import { isPredefined, type Network } from '../../containers/networks/network.ts';
import { formatTime } from '../units.ts';
import type { Filters } from '../values/filter.ts';
import type { Row, RowFormat } from './row-format.ts';

export const networkFormat: RowFormat = {
  table: '{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}',
  headers: {
    CreatedAt: 'CREATED AT',
    Driver: 'DRIVER',
    ID: 'NETWORK ID',
    IPv4: 'IPV4',
    IPv6: 'IPV6',
    Internal: 'INTERNAL',
    Labels: 'LABELS',
    Name: 'NAME',
    Scope: 'SCOPE',
  },
};

export function networkRow({ id, name, created, driver, ipv6, internal, labels }: Network, isWhole: boolean): Row {
  return {
    CreatedAt: formatTime(created),
    Driver: driver,
    ID: isWhole ? id : id.slice(0, 12),
    IPv4: 'true',
    IPv6: String(ipv6),
    Internal: String(internal),
    Labels: Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(','),
    Label: (key: unknown) => labels[String(key)] ?? '',
    Name: name,
    Scope: 'local',
  };
}

export interface ListedNetwork {
  readonly network: Network;
  /** By a container that runs. */
  readonly isUsed: boolean;
}

type Test = (listed: ListedNetwork) => boolean;

export const networkFilters = ['dangling', 'driver', 'id', 'label', 'name', 'scope', 'type'];

/** Of a name's values any will do, of labels all must hold. Throws `usage/bad-value`. */
export function networkTest(filters: Filters): Test {
  const all = [...filters].map(([name, values]): Test => {
    const each = values.map((value) => tests[name]!(value));
    return name === 'label' ? (listed) => each.every((test) => test(listed)) : (listed) => each.some((test) => test(listed));
  });
  return (listed) => all.every((test) => test(listed));
}

const tests: Readonly<Record<string, (value: string) => Test>> = {
  dangling: (value) => {
    const isWanted = parseBool(value);
    if (isWanted === undefined) throw new TbuildError('usage/bad-value', `invalid filter 'dangling=[${value}]'`);
    // The predefined ones are never: they are not pruned.
    return ({ network, isUsed }) => (!isUsed && !isPredefined(network)) === isWanted;
  },
  driver:
    (value) =>
    ({ network }) =>
      network.driver === value,
  id:
    (value) =>
    ({ network }) =>
      network.id.startsWith(value),
  label:
    (value) =>
    ({ network }) =>
      hasLabel(network.labels, value),
  name: (value) => {
    const matches = matcher([value]);
    return ({ network }) => matches(network.name);
  },
  scope: (value) => () => value === 'local',
  type: (value) => {
    if (value !== 'builtin' && value !== 'custom') {
      throw new TbuildError('usage/bad-value', `invalid filter: 'type'='${value}'`, { hint: 'it is builtin or custom' });
    }
    return ({ network }) => isPredefined(network) === (value === 'builtin');
  },
};
