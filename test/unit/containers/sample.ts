// Containers that never were, for who shows them.

import type { ListedContainer } from '../../../src/containers/listing.ts';
import type { ContainerSpec } from '../../../src/containers/spec.ts';
import type { ContainerState } from '../../../src/containers/state.ts';
import { plainSpec } from '../../support/container-spec.ts';

export const nowMs = Date.parse('2026-11-21T12:00:00Z');

export const idOf = (digit: string): string => digit.repeat(64);

export const sampleSpec = (changes: Partial<ContainerSpec> = {}): ContainerSpec =>
  plainSpec({
    image: { name: 'debian:12', id: `sha256:${idOf('e')}` },
    layers: ['blake3:1', 'blake3:2'],
    cmd: ['sleep', '60'],
    env: ['PATH=/bin'],
    network: { mode: 'bridge', networks: [{ network: 'bridge', aliases: [] }] },
    ...changes,
  });

export function sampleState(changes: Partial<ContainerState> = {}): ContainerState {
  return {
    status: 'running',
    isAbandoned: false,
    pid: 4711,
    monitorPid: 4710,
    startedAt: nowMs - 3000,
    finishedAt: 0,
    exitCode: 0,
    oomKilled: false,
    error: '',
    restartCount: 0,
    stoppedByUser: false,
    health: null,
    network: null,
    ...changes,
  };
}

interface Sample {
  readonly id?: string;
  readonly name?: string;
  readonly created?: number;
  readonly spec?: Partial<ContainerSpec>;
  readonly state?: Partial<ContainerState>;
}

export function sampleListed(sample: Sample = {}, changes: Partial<ListedContainer> = {}): ListedContainer {
  const spec = sampleSpec(sample.spec);
  const state = sampleState(sample.state);
  const { id = idOf('a'), name = 'brave_hopper', created = nowMs - 10_000 } = sample;
  return {
    container: { id, name, created, spec, directory: `/nowhere/${id}`, state: () => state },
    state,
    imageName: spec.image.name,
    size: undefined,
    networks: spec.network.networks.map(({ network, aliases }) => {
      return { network, aliases, address: '10.89.0.2', prefixLength: 24, gateway: '10.89.0.1', mac: '' };
    }),
    published: spec.ports,
    ...changes,
  };
}
