// Records of networks, and who has which address and port: nothing is made on the host.
import { rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { type Container, Containers } from '../../../../src/containers/containers.ts';
import { freeWhatIsLeft, holdersOf, takeAddresses } from '../../../../src/containers/networks/addresses.ts';
import { meet, parseSubnet, type Subnet } from '../../../../src/containers/networks/ip.ts';
import { engineName, nameOfEngine } from '../../../../src/containers/networks/network.ts';
import { type NetworkOptions, Networks } from '../../../../src/containers/networks/networks.ts';
import { takePorts } from '../../../../src/containers/networks/ports.ts';
import { subnetsFor } from '../../../../src/containers/networks/subnets.ts';
import type { ContainerSpec, PortMapping } from '../../../../src/containers/spec.ts';
import { plainSpec } from '../../../support/container-spec.ts';
import { openImageStore } from '../../../support/image-store.ts';
import { listenOnLoopback } from '../../../support/loopback.ts';

let records: Awaited<ReturnType<typeof openImageStore>>['place'];
let networks: Networks;
let containers: Containers;

beforeEach(async () => {
  records = (await openImageStore()).place;
  networks = new Networks(records);
  containers = new Containers(records);
});

const asked = (changes: Partial<NetworkOptions> & { name: string }): NetworkOptions => ({
  subnets: [],
  gateways: [],
  ranges: [],
  reserved: {},
  ipv6: false,
  internal: false,
  attachable: false,
  labels: {},
  options: {},
  ...changes,
});

const code = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return 'none';
};

const newContainer = (name: string, changes: Partial<ContainerSpec> = {}) => containers.create(plainSpec(changes), name);

const take = (container: Container, network: string, address?: string) =>
  records.store.db.immediate(
    () =>
      takeAddresses(
        records.store,
        networks.find(network),
        { network, aliases: [], ...(address !== undefined && { address }) },
        container.id,
      ).addresses,
  );

describe('networks', () => {
  test('docker’s three are there from the first look, and stay', () => {
    expect(networks.list().map(({ name, driver }) => `${name} ${driver}`)).toEqual(['bridge bridge', 'host host', 'none null']);
    expect(networks.find('bridge').id).toBe(new Networks(records).find('bridge').id);
    expect(code(() => networks.remove(networks.find('host')))).toBe('network/predefined');
    expect(code(() => networks.create(asked({ name: 'none' })))).toBe('network/predefined');
  });

  test('are found by name, ID, and the beginning of an ID', () => {
    const { id } = networks.create(asked({ name: 'app' }));
    expect([networks.find('app').id, networks.find(id).name, networks.find(id.slice(0, 12)).name]).toEqual([id, 'app', 'app']);
    expect(code(() => networks.find(''))).toBe('network/unknown');
    expect(code(() => networks.find('app2'))).toBe('network/unknown');
  });

  test('one name is one network', () => {
    networks.create(asked({ name: 'app' }));
    expect(code(() => networks.create(asked({ name: 'app' })))).toBe('network/exists');
    for (const name of ['', '-a', 'a/b', 'a b', '../x', 'a\nb', 'x'.repeat(101)]) {
      expect([name, code(() => networks.create(asked({ name })))]).toEqual([name, 'network/bad-name']);
    }
  });

  test('a hundred have subnets that meet neither each other nor a route of the host', () => {
    const subnets = Array.from({ length: 100 }, (_, at) => networks.create(asked({ name: `n${at}` })).subnets[0]!.subnet);
    expect(new Set(subnets).size).toBe(100);
    const one = parseSubnet(subnets[0]!) as Subnet;
    const host = [parseSubnet('10.0.0.0/10')!];
    const [found] = subnetsFor('0'.repeat(64), asked({ name: 'x' }), { networks: [one], host });
    expect(found!.subnet).toMatch(/^10\.(?:89|9[0-6])\./);
    expect(
      code(() => subnetsFor('0'.repeat(64), asked({ name: 'x' }), { networks: [], host: [parseSubnet('10.0.0.0/8')!] })),
    ).toBe('network/no-subnet');
  });

  test('a subnet that was asked for must be free, and one', () => {
    const made = networks.create(
      asked({ name: 'a', subnets: ['10.55.0.0/16'], ranges: ['10.55.4.0/24'], reserved: { router: '10.55.4.1' } }),
    );
    expect(made.subnets).toEqual([
      { subnet: '10.55.0.0/16', gateway: '10.55.4.1', range: '10.55.4.0/24', reserved: { router: '10.55.4.1' } },
    ]);
    expect(code(() => networks.create(asked({ name: 'b', subnets: ['10.55.9.0/24'] })))).toBe('network/overlap');
    for (const subnets of [['10.56.0.1/16'], ['10.56.0.0'], ['10.56.0.0/32'], ['nonsense'], ['fd00:5::/64']]) {
      expect([subnets, code(() => networks.create(asked({ name: 'b', subnets })))]).toEqual([subnets, 'network/bad-subnet']);
    }
    expect(code(() => networks.create(asked({ name: 'b', subnets: ['10.56.0.0/16'], gateways: ['10.57.0.1'] })))).toBe(
      'network/bad-subnet',
    );
  });

  test('IPv6 has a subnet of its own', () => {
    const [four, six] = networks.create(asked({ name: 'a', ipv6: true })).subnets;
    expect(four!.subnet).toMatch(/^10\.\d+\.\d+\.0\/24$/);
    expect(six!.subnet).toMatch(/^fd[0-9a-f]{2}:[0-9a-f:]+::\/64$/);
    expect(six!.gateway).toBe(six!.subnet.replace('/64', '1'));
  });

  test('the engine’s name is another store’s never, and leads back', async () => {
    const one = networks.find('bridge');
    const other = new Networks((await openImageStore()).place).find('bridge');
    expect(engineName(one)).not.toBe(engineName(other));
    expect(nameOfEngine(engineName(one))).toBe('bridge');
  });
});

describe('addresses', () => {
  test('the lowest that is free, and the same again', () => {
    networks.create(asked({ name: 'a', subnets: ['10.55.0.0/29'] }));
    const [one, two] = [newContainer('one'), newContainer('two')];
    expect([take(one, 'a'), take(two, 'a'), take(one, 'a')]).toEqual([['10.55.0.2'], ['10.55.0.3'], ['10.55.0.2']]);
  });

  test('one that was asked for is checked', () => {
    networks.create(asked({ name: 'a', subnets: ['10.55.0.0/24'], reserved: { printer: '10.55.0.7' } }));
    const [one, two] = [newContainer('one'), newContainer('two')];
    expect(take(one, 'a', '10.55.0.200')).toEqual(['10.55.0.200']);
    for (const address of ['10.55.0.200', '10.55.0.1', '10.55.0.0', '10.55.0.255', '10.55.0.7']) {
      expect([address, code(() => take(two, 'a', address))]).toEqual([address, 'network/address-taken']);
    }
    expect(code(() => take(two, 'a', '10.56.0.2'))).toBe('network/bad-address');
  });

  test('a full network says so', () => {
    networks.create(asked({ name: 'a', subnets: ['10.55.0.0/30'] }));
    take(newContainer('one'), 'a');
    expect(code(() => take(newContainer('two'), 'a'))).toBe('network/full');
  });

  test('are free again with their container, and when nothing holds them', () => {
    networks.create(asked({ name: 'a', subnets: ['10.55.0.0/24'] }));
    const { store } = records;
    const [one, two, three] = [newContainer('one'), newContainer('two'), newContainer('three')];
    for (const each of [one, two, three]) take(each, 'a');
    // One's process is gone and it never came to run; two runs no more; three is about to be started by us.
    store.db.run('UPDATE addresses SET starter = ? WHERE container = ?', 2 ** 30, one.id);
    writeFileSync(
      join(two.directory, 'state.json'),
      JSON.stringify({ status: 'exited', startedAt: Date.now() + 1000, finishedAt: 0 }),
    );
    store.db.immediate(() => freeWhatIsLeft(store, 'x'));
    expect(holdersOf(store, networks.find('a')).map(({ container }) => container)).toEqual([three.id]);
    rmSync(three.directory, { recursive: true });
    containers.sweep();
    expect(holdersOf(store, networks.find('a'))).toEqual([]);
  });
});

describe('ports', () => {
  const tcp = (hostPort: number, more: Partial<PortMapping> = {}): PortMapping => ({
    hostAddress: '',
    hostPort,
    containerPort: 80,
    protocol: 'tcp',
    ...more,
  });
  const publish = (container: Container) => records.store.db.immediate(() => takePorts(records.store, container));

  test('a port is one container’s, on each address and protocol', () => {
    publish(newContainer('one', { ports: [tcp(41_001)] }));
    expect(code(() => publish(newContainer('two', { ports: [tcp(41_001)] })))).toBe('network/port-taken');
    expect(code(() => publish(newContainer('three', { ports: [tcp(41_001, { hostAddress: '127.0.0.1' })] })))).toBe(
      'network/port-taken',
    );
    expect(publish(newContainer('four', { ports: [tcp(41_001, { protocol: 'udp' })] }))).toHaveLength(1);
  });

  test('one where a program of the host listens is taken', async () => {
    const port = Number((await listenOnLoopback(createServer())).split(':')[1]);
    expect(code(() => publish(newContainer('one', { ports: [tcp(port)] })))).toBe('network/port-taken');
    expect(code(() => publish(newContainer('two', { ports: [tcp(port, { hostAddress: '127.0.0.2' })] })))).toBe('none');
  });

  test('free ones are chosen, for all that is exposed too', () => {
    const one = newContainer('one', { ports: [tcp(0)], exposed: ['80/tcp', '53/udp', '90/tcp'], publishAll: true });
    const ports = publish(one);
    expect(ports.map(({ containerPort, protocol }) => `${containerPort}/${protocol}`)).toEqual(['80/tcp', '53/udp', '90/tcp']);
    expect(new Set(ports.map(({ hostPort }) => hostPort)).size).toBeGreaterThan(1);
    expect(publish(one)).toEqual(ports);
  });

  test('of a range for one port the first that is free', () => {
    publish(newContainer('one', { ports: [tcp(41_010)] }));
    expect(publish(newContainer('two', { ports: [tcp(41_010, { hostPortEnd: 41_012 })] }))[0]!.hostPort).toBe(41_011);
  });
});

test('no subnet of ours meets the host’s own', () => {
  const subnets = networks.list().flatMap(({ subnets: all }) => all.map(({ subnet }) => parseSubnet(subnet) as Subnet));
  expect(subnets.some((one) => meet(one, parseSubnet('127.0.0.0/8')!))).toBe(false);
});
