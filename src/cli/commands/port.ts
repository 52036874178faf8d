// `tbuild port`: which ports of the host lead to a container (docker/cli cli/command/container/port.go).

import { TbuildError } from '../../base/errors.ts';
import type { PortMapping } from '../../containers/spec.ts';
import { defineCommand } from '../command.ts';

export const port = defineCommand({
  name: 'port',
  usage: 'CONTAINER [PRIVATE_PORT[/PROTO]]',
  description: 'List port mappings or a specific mapping for the container',
  positionals: [1, 2],
  flags: {},
  run: async ({ positionals: [container, wanted], library, stdout }) => {
    const published = await library.listPorts(container as string);
    const lines = wanted === undefined ? published.map(line) : only(published, wanted, container as string);
    stdout.write(lines.map((each) => `${each}\n`).join(''));
    return 0;
  },
});

const inside = ({ containerPort, protocol }: PortMapping): string => `${containerPort}/${protocol}`;

function outside({ hostAddress, hostPort }: PortMapping): string {
  return `${hostAddress.includes(':') ? `[${hostAddress}]` : hostAddress || '0.0.0.0'}:${hostPort}`;
}

const line = (mapping: PortMapping): string => `${inside(mapping)} -> ${outside(mapping)}`;

function only(published: readonly PortMapping[], wanted: string, container: string): string[] {
  const name = wanted.includes('/') ? wanted : `${wanted}/tcp`;
  const found = published.filter((mapping) => inside(mapping) === name);
  if (found.length > 0) return found.map(outside);
  throw new TbuildError('container/no-port', `no public port '${name}' published for ${container}`);
}
