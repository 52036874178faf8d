// Another OCI runtime in the place of the bundled one: crun, runc, or what brings a kernel of its own (kata, gVisor, krun).
// Finds it on this machine, and says how with-root calls it. Nothing of it is in a step's key (docs/cache.md).

import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { TbuildError } from '../base/errors.ts';
import type { DeviceNode } from './device-node.ts';
import type { Cgroup } from './limits.ts';

export interface OtherRuntime {
  /** What comes before a container's id. Paths are below the bundle, which goes with the container. */
  readonly command: readonly string[];
  /** What its containers get in place of the cgroup that was asked for. */
  readonly cgroupOf: (asked: Cgroup | undefined, devices: readonly DeviceNode[], isInsecure: boolean) => Cgroup;
}

/** A name in PATH, or a path. */
export function findRuntime(name: string): OtherRuntime {
  const path = name.includes('/') ? resolve(name) : findInPath(name);
  if (path === undefined || !isProgram(path)) {
    const why = name.includes('/') ? 'it is no program' : 'no such program is in PATH';
    throw new TbuildError('usage/no-runtime', `there is no OCI runtime ${name}: ${why}`, {
      hint: `install it, or name a path (crun, runc and others of this kind are meant); without --runtime tbuild uses its own`,
    });
  }
  return { command: [path, '--root', 'state', '--log', 'runtime.log', '--log-format', 'json', 'run'], cgroupOf };
}

function findInPath(name: string): string | undefined {
  // Debian has runc in /usr/sbin, which ordinary users do not have in theirs.
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  return directories
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, name))
    .find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/**
 * Other runtimes always make a cgroup: under this name it is found and removed, whatever became of them. They make nodes in a /dev that is not
 * nodev, so the devices cgroup says what may be opened there (the default devices they add themselves).
 */
function cgroupOf(asked: Cgroup | undefined, devices: readonly DeviceNode[], isInsecure: boolean): Cgroup {
  const given = devices.map(({ type, major, minor }) => ({
    allow: true,
    type: type === 'u' ? 'c' : type,
    major,
    minor,
    access: 'rwm',
  }));
  return { parent: '/', ...asked, ...(!isInsecure && { devices: [{ allow: false, access: 'rwm' }, ...given] }) };
}
