// Limits of what a container takes: build's --resource, and run's flags of docker's names. Read as docker and buildx read them.

import { TbuildError } from '../base/errors.ts';
import type { Limits } from '../sandbox/limits.ts';
import { nearest } from './nearest.ts';
import { parseBytes } from './run-values.ts';

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
