// How much room the build cache may take, by itself: `[gc]` of the configuration file, with buildkitd.toml's names. Without the file, BuildKit's defaults.
// The file: $TBUILD_CONFIG, else /etc/tbuild/tbuild.toml for root, else $XDG_CONFIG_HOME/tbuild/tbuild.toml.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TbuildError } from '../base/errors.ts';
import { readSize } from '../base/size.ts';

export interface Budget {
  readonly isOn: boolean;
  /** What was used last stays up to this. */
  readonly reservedBytes: number;
  readonly maxUsedBytes: number;
  readonly minFreeBytes: number;
}

const defaults = { gc: true, reservedSpace: '10%', maxUsedSpace: '60%', minFreeSpace: '20%' };

/** `diskBytes`: the size of the store's disk, which a percentage is of. Throws `usage/bad-config`. */
export async function readBudget(env: NodeJS.ProcessEnv, diskBytes: number): Promise<Budget> {
  const file = configFile(env);
  const given = file !== undefined && existsSync(file) ? await readTable(file) : {};
  const fail = (what: string) => new TbuildError('usage/bad-config', `${file}: ${what}`);
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(defaults, name)) throw fail(`[gc] has no setting ${name}: there are ${Object.keys(defaults).join(', ')}`);
  }
  const isOn = given.gc ?? defaults.gc;
  if (typeof isOn !== 'boolean') throw fail('gc is true or false');
  const size = (name: Exclude<keyof typeof defaults, 'gc'>) => {
    const value = given[name] ?? defaults[name];
    const read = typeof value === 'number' ? value : typeof value === 'string' ? readShare(value, diskBytes) : undefined;
    if (read === undefined || !(read >= 0))
      throw fail(`${name} is a size ("20GB") or a share of the disk ("10%"), not ${JSON.stringify(value)}`);
    return read;
  };
  return { isOn, reservedBytes: size('reservedSpace'), maxUsedBytes: size('maxUsedSpace'), minFreeBytes: size('minFreeSpace') };
}

export function configFile(env: NodeJS.ProcessEnv): string | undefined {
  if (env.TBUILD_CONFIG) return env.TBUILD_CONFIG;
  if (process.getuid?.() === 0) return '/etc/tbuild/tbuild.toml';
  const home = env.XDG_CONFIG_HOME || (env.HOME && join(env.HOME, '.config'));
  return home && join(home, 'tbuild', 'tbuild.toml');
}

async function readTable(file: string): Promise<Record<string, unknown>> {
  const { parse } = await import('smol-toml');
  try {
    const { gc = {} } = parse(readFileSync(file, 'utf8'));
    if (typeof gc === 'object' && !Array.isArray(gc) && !(gc instanceof Date)) return gc;
  } catch (cause) {
    throw new TbuildError('usage/bad-config', `${file}: ${(cause as Error).message.split('\n', 1)[0]}`, { cause });
  }
  throw new TbuildError('usage/bad-config', `${file}: gc is a table: [gc]`);
}

function readShare(text: string, diskBytes: number): number | undefined {
  const percent = /^(\d{1,3}(?:\.\d+)?)%$/.exec(text)?.[1];
  return percent === undefined ? readSize(text) : Math.floor((Number(percent) / 100) * diskBytes);
}
