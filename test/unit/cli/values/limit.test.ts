// Limits as docker and buildx write them, and as config.json has them.
import { describe, expect, it } from 'vitest';
import { parseLimits, parseResources } from '../../../../src/cli/values/limit.ts';
import { limitsConfig } from '../../../../src/sandbox/limits.ts';

describe('run', () => {
  it.each([
    [{ memory: '512m' }, { memory: { limit: 512 << 20 } }],
    [{ memory: '1g', 'memory-swap': '-1' }, { memory: { limit: 1 << 30, swap: -1 } }],
    [{ cpus: '1.5' }, { cpu: { quota: 150_000, period: 100_000 } }],
    [{ cpus: '.25' }, { cpu: { quota: 25_000, period: 100_000 } }],
    [{ 'cpu-shares': '512', 'cpu-quota': '-1', 'cpuset-cpus': '0-1' }, { cpu: { shares: 512, quota: -1, cpus: '0-1' } }],
    [{ 'pids-limit': '-1' }, { pids: { limit: -1 } }],
    [{}, undefined],
  ])('%j', (given, expected) => {
    expect(parseLimits(given)).toEqual(expected);
  });

  it.each([
    [{ memory: '-1' }, '--memory takes a size, not "-1"'],
    [{ cpus: '0' }, '--cpus takes a number of processors from 0.01, not "0"'],
    [{ cpus: '1e3' }, '--cpus takes a number of processors from 0.01, not "1e3"'],
    [{ cpus: '1', 'cpu-quota': '5' }, '--cpus says what --cpu-quota and --cpu-period say: one way is enough'],
    [{ 'cpu-period': '-5' }, '--cpu-period takes a number, not "-5"'],
    [{ 'pids-limit': 'many' }, '--pids-limit takes a number, or -1 for no limit, not "many"'],
  ])('%j is refused', (given, message) => {
    expect(() => parseLimits(given)).toThrow(message);
  });
});

describe('build', () => {
  it('takes the last of each', () => {
    expect(parseResources(['memory=1m', 'memory=2m', 'cpuset-mems=0'])).toEqual({
      memory: { limit: 2 << 20 },
      cpu: { mems: '0' },
    });
    expect(parseResources([])).toBeUndefined();
  });

  it.each([
    ['memory', '--resource takes name=value, not "memory"'],
    ['pids-limit=3', '--resource takes name=value, not "pids-limit=3"'],
    ['cpu-shares=x', '--resource cpu-shares takes a number, not "x"'],
  ])('%s is refused', (text, message) => {
    expect(() => parseResources([text])).toThrow(message);
  });
});

describe('the cgroup', () => {
  it('is there only when asked for, below the parent, never above it', () => {
    expect(limitsConfig({})).toEqual({});
    expect(limitsConfig({ limits: { pids: { limit: 1 } } })).toEqual({
      cgroupsPath: expect.stringMatching(/^\/tbuild\/[\w-]+$/),
      resources: { pids: { limit: 1 } },
    });
    expect(limitsConfig({ parent: 'a/b' })).toEqual({ cgroupsPath: expect.stringMatching(/^\/a\/b\/tbuild\/[\w-]+$/) });
    expect(limitsConfig({ parent: '../../x' }).cgroupsPath).toMatch(/^\/x\/tbuild\//);
  });
});
