// Limits of what a container takes: build's --resource, and run's flags of docker's names. Read as docker and buildx read them.

import { TbuildError } from '../../base/errors.ts';
import { nodeAt } from '../../sandbox/device-node.ts';
import type { Limits } from '../../sandbox/limits.ts';
import { nearest } from '../nearest.ts';
import { badArgument, badValue } from './bad-argument.ts';
import { parseBytes } from './build-run.ts';

/** Flags as they were written; undefined: not given. */
export type LimitFlags = Readonly<Record<(typeof names)[number], string | undefined>>;

const names = [
  'memory',
  'memory-swap',
  'cpus',
  'cpu-shares',
  'cpu-period',
  'cpu-quota',
  'cpuset-cpus',
  'cpuset-mems',
  'pids-limit',
] as const;

/** Those that buildx has. */
const resources = names.filter((name) => name !== 'cpus' && name !== 'pids-limit');

/** Of containers alone. */
const more = ['memory-reservation', 'memory-swappiness', 'cpu-rt-period', 'cpu-rt-runtime', 'blkio-weight'] as const;

export type ContainerLimitFlags = LimitFlags &
  Readonly<Record<(typeof more)[number], string | undefined>> &
  Readonly<Record<'blkio-weight-device' | keyof typeof THROTTLES, readonly string[]>> & { readonly 'oom-kill-disable': boolean };

const THROTTLES = {
  'device-read-bps': 'throttleReadBpsDevice',
  'device-write-bps': 'throttleWriteBpsDevice',
  'device-read-iops': 'throttleReadIOPSDevice',
  'device-write-iops': 'throttleWriteIOPSDevice',
} as const;

/** Of `run`, `create` and `update`: with docker's rules of what goes together (moby: daemon_unix.go, verifyPlatformContainerResources). */
export function parseContainerLimits(given: Partial<ContainerLimitFlags>): Limits {
  // An empty text or a zero is as if it were not given.
  const wanted = Object.fromEntries(
    [...names, ...more].flatMap((name) => (isUnset(name, given[name]) ? [] : [[name, given[name]]])),
  );
  const { memory, cpu, pids } = parseLimits(wanted as Partial<LimitFlags>) ?? {};
  const whole = (name: (typeof more)[number]) =>
    wanted[name] === undefined ? undefined : wholeNumber(`--${name}`, wanted[name]);
  const reservation = wanted['memory-reservation'];
  const limits = known({
    memory: known({
      ...memory,
      reservation: reservation === undefined ? undefined : parseBytes(reservation, '--memory-reservation'),
      swappiness: whole('memory-swappiness'),
      disableOOMKiller: given['oom-kill-disable'] || undefined,
    }),
    cpu: known({ ...cpu, realtimePeriod: whole('cpu-rt-period'), realtimeRuntime: whole('cpu-rt-runtime') }),
    pids,
    blockIO: known({
      weight: whole('blkio-weight'),
      weightDevice: devices(
        given['blkio-weight-device'],
        (flag, major, minor, text) => ({
          major,
          minor,
          weight: blockWeight(wholeNumber(flag, text)),
        }),
        '--blkio-weight-device',
      ),
      ...Object.fromEntries(
        Object.entries(THROTTLES).map(([flag, key]) => [
          key,
          devices(
            given[flag as keyof typeof THROTTLES],
            (shown, major, minor, text) => ({
              major,
              minor,
              rate: shown.endsWith('bps') ? parseBytes(text, shown) : wholeNumber(shown, text),
            }),
            `--${flag}`,
          ),
        ]),
      ),
    }),
  }) as Limits | undefined;
  checkTogether(limits ?? {});
  return limits ?? {};
}

function isUnset(name: string, text: string | undefined): boolean {
  const isSet = name.startsWith('cpuset');
  return text === undefined || text === '' || (text === '0' && !isSet) || (name === 'memory-swappiness' && text === '-1');
}

function wholeNumber(flag: string, text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new TbuildError('usage/bad-value', `${flag} takes a number, not "${text}"`);
}

/** `PATH:VALUE`, the device as this machine has it now. */
function devices<T>(
  texts: readonly string[] | undefined,
  make: (flag: string, major: number, minor: number, value: string) => T,
  flag: string,
): T[] | undefined {
  if (!texts?.length) return undefined;
  return texts.map((text) => {
    const [, path, value] = /^(\/dev\/[^:]*):(.+)$/.exec(text) ?? [];
    if (path === undefined || value === undefined) throw badArgument(flag, text, `bad format for device path: ${text}`);
    const node = nodeAt(path);
    if (node?.type !== 'b') throw badArgument(flag, text, `${path} is no block device`);
    return make(flag, node.major, node.minor, value);
  });
}

function blockWeight(weight: number): number {
  if (weight < 10 || weight > 1000) throw badValue('range of blkio weight is from 10 to 1000');
  return weight;
}

const LEAST_MEMORY_BYTES = 6 << 20;

function checkTogether({ memory = {}, cpu = {}, blockIO = {} }: Limits): void {
  const { limit, swap, reservation, swappiness } = memory;
  if (limit !== undefined && limit < LEAST_MEMORY_BYTES) throw badValue('minimum memory limit allowed is 6MB');
  if (swap !== undefined && limit === undefined && swap !== -1)
    throw badValue('you should always set the Memory limit when using Memoryswap limit, see usage');
  if (swap !== undefined && limit !== undefined && swap !== -1 && swap < limit)
    throw badValue('minimum memoryswap limit should be larger than memory limit, see usage');
  if (reservation !== undefined && reservation < LEAST_MEMORY_BYTES) throw badValue('minimum memory reservation allowed is 6MB');
  if (limit !== undefined && reservation !== undefined && limit < reservation)
    throw badValue('minimum memory limit can not be less than memory reservation limit, see usage');
  if (swappiness !== undefined && swappiness > 100)
    throw badValue(`invalid value: ${swappiness}. Valid memory swappiness range is 0-100`);
  if (cpu.period !== undefined && (cpu.period < 1000 || cpu.period > 1_000_000))
    throw badValue('CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)');
  if (cpu.quota !== undefined && cpu.quota !== -1 && cpu.quota < 1000)
    throw badValue('CPU cfs quota can not be less than 1ms (i.e. 1000)');
  if (blockIO.weight !== undefined) blockWeight(blockIO.weight);
}

/** `memory=1g`, each as often as wanted: the last counts. */
export function parseResources(texts: readonly string[]): Limits | undefined {
  const given: Partial<Record<(typeof names)[number], string>> = {};
  for (const text of texts) {
    const at = text.indexOf('=');
    const name = resources.find((known) => known === text.slice(0, Math.max(at, 0)));
    if (name === undefined) {
      const meant = nearest(text.slice(0, Math.max(at, 0)), resources);
      throw new TbuildError('usage/bad-value', `--resource takes name=value, not "${text}"`, {
        hint: meant ? `did you mean ${meant}=…?` : `there are ${resources.join(', ')}`,
      });
    }
    given[name] = text.slice(at + 1);
  }
  return parseLimits(given, (name) => `--resource ${name}`);
}

/** Undefined: nothing is limited. `called`: how a user knows it. */
export function parseLimits(given: Partial<LimitFlags>, called = (name: string) => `--${name}`): Limits | undefined {
  const number = (name: (typeof names)[number], least: number) => {
    const text = given[name];
    if (text === undefined) return undefined;
    const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && Number.isSafeInteger(value))) {
      throw new TbuildError(
        'usage/bad-value',
        `${called(name)} takes a number${least === 0 ? '' : ', or -1 for no limit'}, not "${text}"`,
      );
    }
    return value;
  };
  const bytes = (name: 'memory' | 'memory-swap') =>
    given[name] === undefined || (given[name] === '-1' && name === 'memory-swap')
      ? given[name] && -1
      : parseBytes(given[name], called(name));
  const memory = known({ limit: bytes('memory'), swap: bytes('memory-swap') });
  const cpu = known({
    shares: number('cpu-shares', 0),
    ...cpuTime(given, number('cpu-quota', -1), number('cpu-period', 0)),
    cpus: given['cpuset-cpus'],
    mems: given['cpuset-mems'],
  });
  const pids = known({ limit: number('pids-limit', -1) });
  return known({ memory, cpu, pids }) as Limits | undefined;
}

/** `--cpus 1.5` is half a period more than one of them takes. */
function cpuTime(given: Partial<LimitFlags>, quota: number | undefined, period: number | undefined) {
  if (given.cpus === undefined) return { quota, period };
  if (quota !== undefined || period !== undefined) {
    throw new TbuildError('usage/conflict', '--cpus says what --cpu-quota and --cpu-period say: one way is enough');
  }
  const cpus = /^\d*\.?\d+$/.test(given.cpus) ? Number(given.cpus) : Number.NaN;
  // The kernel takes no quota of less than a millisecond.
  if (!(cpus >= 0.01 && cpus <= 1e6)) {
    throw new TbuildError('usage/bad-value', `--cpus takes a number of processors from 0.01, not "${given.cpus}"`);
  }
  return { quota: Math.round(cpus * 100_000), period: 100_000 };
}

/** Without what is undefined; undefined when nothing is left. */
function known<T extends object>(properties: T): { [K in keyof T]?: NonNullable<T[K]> } | undefined {
  const left = Object.entries(properties).filter(([, value]) => value !== undefined);
  return left.length > 0 ? (Object.fromEntries(left) as { [K in keyof T]?: NonNullable<T[K]> }) : undefined;
}
