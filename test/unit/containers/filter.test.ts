import { describe, expect, it } from 'vitest';
import { containerTest } from '../../../src/containers/filter.ts';
import type { ListedContainer } from '../../../src/containers/listing.ts';
import { idOf, nowMs, sampleListed } from './sample.ts';

const web = sampleListed({
  id: idOf('a'),
  name: 'web-1',
  created: nowMs - 2000,
  spec: {
    labels: { app: 'web', empty: '' },
    exposed: ['80/tcp', '53/udp'],
    ports: [{ hostAddress: '', hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
    mounts: [{ type: 'volume', name: 'data', isAnonymous: false, target: '/d', readonly: false, noCopy: false }],
    network: { mode: 'bridge', networks: [{ network: 'front', aliases: [] }] },
  },
  state: { health: { status: 'healthy', failingStreak: 0, log: [] } },
});
const job = sampleListed({
  id: idOf('b'),
  name: 'job',
  created: nowMs - 1000,
  spec: { image: { name: 'x', id: 'sha256:x' }, layers: ['blake3:1', 'blake3:2', 'blake3:3'] },
  state: { status: 'exited', exitCode: 3 },
});
const all: readonly ListedContainer[] = [job, web];

const lookup = {
  find: (name: string) => all.find(({ container }) => container.name === name)!.container,
  findImage: (name: string) => (name === 'base' ? { id: 'sha256:base', layers: ['blake3:1', 'blake3:2'] } : undefined),
};
function names(filters: Record<string, string[]>, options: { all?: boolean; last?: number } = { all: true }): string[] {
  const test = containerTest(
    { all: options.all ?? false, filters: new Map(Object.entries(filters)), ...options } as never,
    lookup,
  );
  return all.filter(test).map(({ container }) => container.name);
}

describe('ps --filter', () => {
  it.each<[Record<string, string[]>, string[]]>([
    [{ name: ['web'] }, ['web-1']],
    [{ name: ['^/web-1$'] }, ['web-1']],
    [{ name: ['web-1', 'job'] }, ['job', 'web-1']],
    [{ name: ['('] }, []],
    [{ id: ['aaa'] }, ['web-1']],
    [{ label: ['app'] }, ['web-1']],
    [{ label: ['app=web', 'empty'] }, ['web-1']],
    [{ label: ['app=db'] }, []],
    [{ label: ['app='] }, []],
    [{ label: ['empty='] }, ['web-1']],
    [{ label: ['toString'] }, []],
    [{ exited: ['3'] }, ['job']],
    [{ exited: ['0'] }, []],
    [{ status: ['running'] }, ['web-1']],
    [{ status: ['exited', 'running'] }, ['job', 'web-1']],
    [{ ancestor: ['base'] }, ['job']],
    [{ ancestor: ['other'] }, []],
    [{ before: ['job'] }, ['web-1']],
    [{ since: ['web-1'] }, ['job']],
    [{ volume: ['data'] }, ['web-1']],
    [{ volume: ['/d'] }, ['web-1']],
    [{ network: ['front'] }, ['web-1']],
    [{ publish: ['80'] }, ['web-1']],
    [{ publish: ['8080'] }, []],
    [{ expose: ['50-60/udp'] }, ['web-1']],
    [{ health: ['healthy'] }, ['web-1']],
    [{ health: ['none'] }, ['job']],
    [{ 'is-task': ['true'] }, []],
    [{ 'is-task': ['false'] }, ['job', 'web-1']],
  ])('%j', (filters, expected) => {
    expect(names(filters)).toEqual(expected);
  });

  it('shows what runs, unless something else is asked for', () => {
    expect(names({}, {})).toEqual(['web-1']);
    expect(names({}, { last: 2 })).toEqual(['job', 'web-1']);
    expect(names({ status: ['exited'] }, {})).toEqual(['job']);
    expect(names({ exited: ['3'] }, {})).toEqual([]);
  });

  it.each([
    [{ status: ['up'] }, 'unrecognised filter value for status: up'],
    [{ exited: ['x'] }, "invalid filter 'exited=x'"],
    [{ publish: ['http'] }, 'invalid filter: "http" is no port'],
    [{ 'is-task': ['maybe'] }, "invalid filter 'is-task=maybe'"],
  ])('%j is wrong', (filters, message) => {
    expect(() => names(filters)).toThrow(message);
  });
});
