// How a store keeps and mounts layers: found out by mounting a real stack under it, then remembered for as long as the kernel and the
// file system stay the same. Layers written with one driver are read with any: a row says how its layer is kept.

import { execFileSync } from 'node:child_process';
import { statfsSync } from 'node:fs';
import { release } from 'node:os';
import { TbuildError } from '../base/errors.ts';
import type { Store } from '../base/store.ts';
import { runnerPath } from '../native/binary.ts';
import { fromNative, type NativeErrorObject } from '../native/errors.ts';
import type { Driver } from '../native/serve.ts';

export interface DriverChoice {
  readonly driver: Driver;
  /** EROFS images are mounted through loop devices. */
  readonly loop: boolean;
  /** Why it is this one: a line for each that was tried, this one the last. */
  readonly reasons: readonly string[];
  /** Overlayfs can write to folders of the store. Where it cannot, what containers write is kept in memory. */
  readonly takesUppers: boolean;
  /** Overlayfs can write to memory: before Linux 6.6 not for an account that is not root. An earlier tbuild did not ask. */
  readonly takesMemoryUppers?: boolean;
  /** Containers can have user namespaces of their own, on files of the store. */
  readonly userns: boolean;
  /** What commands read can be watched. An earlier tbuild did not ask. */
  readonly canObserve?: boolean;
  /** The kernel that was asked. */
  readonly kernel: string;
  /** Of the file system under the store: statfs's f_type. */
  readonly fileSystem: number;
  /** TBUILD_DRIVER chose it, and it goes on being the only one that is tried. */
  readonly forced: boolean;
}

const NAMES = ['erofs', 'erofs-loop', 'directory'] as const;
type Name = (typeof NAMES)[number];

interface Probe {
  readonly driver: Name;
  readonly reasons: readonly string[];
  readonly upper: boolean;
  readonly memoryUpper: boolean;
  /** Why there are no user namespaces; null: there are. */
  readonly withoutUserns: string | null;
  /** Why what commands read cannot be watched; null: it can. */
  readonly withoutObserver: string | null;
  readonly kernel: string;
}

/** What the store remembers, if it still holds. */
export function knownDriver(store: Store): DriverChoice | undefined {
  const known = readRow(store);
  const holds = known?.kernel === release() && known.fileSystem === fileSystemOf(store);
  // An earlier tbuild did not ask for user namespaces, or for the observer.
  return holds && known.userns !== undefined && known.canObserve !== undefined ? known : undefined;
}

/**
 * Finds out and remembers. `place`: a folder of this process in the store, to try things in.
 * `isRootless`: everything is in a user namespace of the account's, containers too. `TBUILD_DRIVER=erofs|erofs-loop|directory` chooses for a new store.
 */
export function findDriver(store: Store, place: string, isRootless = false): DriverChoice {
  const before = readRow(store);
  const forced = before ? (before.forced ? nameOf(before) : undefined) : nameInEnvironment();
  const probe = runProbe(place, forced, isRootless);
  const choice: DriverChoice = {
    driver: probe.driver === 'directory' ? 'directory' : 'erofs',
    loop: probe.driver === 'erofs-loop',
    reasons: [
      ...probe.reasons,
      `${probe.driver}: ${forced ? 'TBUILD_DRIVER asked for it, and it works' : 'works'}`,
      ...(probe.upper ? [] : ['what containers write is kept in memory: overlayfs cannot write to this file system']),
      ...(probe.withoutUserns === null || isRootless
        ? []
        : [`containers have the host's user namespace: ${probe.withoutUserns}`]),
      ...(probe.withoutObserver === null ? [] : [`what RUN reads is not watched: ${probe.withoutObserver}`]),
    ],
    takesUppers: probe.upper,
    takesMemoryUppers: probe.memoryUpper,
    userns: probe.withoutUserns === null,
    canObserve: probe.withoutObserver === null,
    kernel: probe.kernel,
    fileSystem: fileSystemOf(store),
    forced: forced !== undefined,
  };
  store.db.run("INSERT OR REPLACE INTO settings (name, value) VALUES ('mounts', ?)", JSON.stringify(choice));
  return choice;
}

function readRow(store: Store): DriverChoice | undefined {
  const row = store.db.get<{ value: string }>("SELECT value FROM settings WHERE name = 'mounts'");
  return row && (JSON.parse(row.value) as DriverChoice);
}

const fileSystemOf = (store: Store): number => statfsSync(store.root).type;

/** As TBUILD_DRIVER has it. */
export function nameOf({ driver, loop }: DriverChoice): Name {
  return loop ? 'erofs-loop' : driver;
}

function nameInEnvironment(): Name | undefined {
  const value = process.env.TBUILD_DRIVER;
  if (!value) return undefined;
  const name = NAMES.find((name) => name === value);
  if (!name)
    throw new TbuildError('usage/driver', `TBUILD_DRIVER is ${JSON.stringify(value)}: one of ${NAMES.join(', ')} is meant`);
  return name;
}

function runProbe(place: string, only: Name | undefined, isRootless: boolean): Probe {
  try {
    const args = ['probe', place, ...(only ? [only] : [])];
    return JSON.parse(execFileSync(runnerPath(), args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })) as Probe;
  } catch (cause) {
    throw explain(place, only, isRootless, cause as Error & { readonly stderr?: string });
  }
}

function explain(
  place: string,
  only: Name | undefined,
  isRootless: boolean,
  cause: Error & { readonly stderr?: string },
): TbuildError {
  const said = cause.stderr?.trim() ?? '';
  if (!said.startsWith('{')) {
    const message = `cannot find out how ${place} can hold layers: ${said || cause.message}`;
    return new TbuildError('unsupported/no-mounts', message, { cause });
  }
  const { code, message, details } = fromNative(JSON.parse(said) as NativeErrorObject);
  if (code !== 'unsupported/no-driver') return new TbuildError(code, message, { details });
  const elsewhere = 'put the store on another file system: set TBUILD_ROOT';
  // Ubuntu since 23.10 lets everybody have user namespaces, without rights in them.
  const allow =
    'let accounts mount in user namespaces (Linux 5.11; Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0)';
  const hint = only ? 'without TBUILD_DRIVER tbuild takes what works' : isRootless ? `${allow}, or ${elsewhere}` : elsewhere;
  return new TbuildError(code, message, { details, hint });
}
