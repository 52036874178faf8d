// A network as docker's `network inspect` shows it (api/types/network), in its order. Pure.

import { Struct } from '../../base/struct.ts';
import { formatSubnet, parseAddress, parseSubnet } from './ip.ts';
import type { Member } from './members.ts';
import { DEFAULT_NETWORK, type Network } from './network.ts';

export function inspectNetwork(network: Network, members: readonly Member[]): Struct {
  const { id, name, created, driver, subnets, internal, ipv6, attachable, labels, options } = network;
  return new Struct({
    Name: name,
    Id: id,
    Created: new Date(created).toISOString(),
    Scope: 'local',
    Driver: driver,
    EnableIPv4: true,
    EnableIPv6: ipv6,
    IPAM: {
      Driver: 'default',
      Options: name === DEFAULT_NETWORK || driver !== 'bridge' ? null : {},
      Config: driver === 'bridge' ? subnets.map(inspectSubnet) : null,
    },
    Internal: internal,
    Attachable: attachable,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: Object.fromEntries(members.map((member) => [member.container.id, inspectMember(network, member)])),
    Options: name === DEFAULT_NETWORK ? { 'com.docker.network.bridge.name': network.interface, ...options } : options,
    Labels: labels,
  });
}

function inspectSubnet({ subnet, range, gateway, reserved }: Network['subnets'][number]) {
  return {
    Subnet: subnet,
    ...(range !== undefined && { IPRange: range }),
    Gateway: gateway,
    ...(reserved && { AuxiliaryAddresses: reserved }),
  };
}

function inspectMember({ subnets }: Network, { container, endpointId, addresses, mac }: Member) {
  const withPrefix = (family: 4 | 6) => {
    const address = addresses.map((text) => parseAddress(text)!).find((one) => one.family === family);
    const subnet = subnets.map((one) => parseSubnet(one.subnet)!).find((one) => one.family === family);
    return address && subnet ? formatSubnet({ ...address, prefix: subnet.prefix }) : '';
  };
  return {
    Name: container.name,
    EndpointID: endpointId,
    MacAddress: mac,
    IPv4Address: withPrefix(4),
    IPv6Address: withPrefix(6),
  };
}
