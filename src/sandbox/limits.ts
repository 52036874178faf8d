// What a container may take of the machine, as the OCI runtime-spec's linux.resources, and the cgroup that holds it to that.
// A container without limits gets no cgroup of its own.

import { posix } from 'node:path';
import { TbuildError } from '../base/errors.ts';

/** In config.json's names and units: bytes and microseconds. */
export interface Limits {
  readonly memory?: {
    readonly limit?: number;
    readonly swap?: number;
    readonly reservation?: number;
    readonly swappiness?: number;
    readonly disableOOMKiller?: boolean;
  };
  readonly cpu?: {
    readonly shares?: number;
    readonly quota?: number;
    readonly period?: number;
    readonly realtimeRuntime?: number;
    readonly realtimePeriod?: number;
    readonly cpus?: string;
    readonly mems?: string;
  };
  readonly pids?: { readonly limit: number };
  readonly blockIO?: {
    readonly weight?: number;
    readonly weightDevice?: readonly (NumberedDevice & { readonly weight: number })[];
    readonly throttleReadBpsDevice?: readonly Throttle[];
    readonly throttleWriteBpsDevice?: readonly Throttle[];
    readonly throttleReadIOPSDevice?: readonly Throttle[];
    readonly throttleWriteIOPSDevice?: readonly Throttle[];
  };
}

interface NumberedDevice {
  readonly major: number;
  readonly minor: number;
}

export interface Throttle extends NumberedDevice {
  /** Bytes or operations a second. */
  readonly rate: number;
}

export interface Cgroup {
  readonly limits?: Limits;
  /** The cgroup that the container's is made in; undefined: tbuild's own choice. */
  readonly parent?: string;
  /** Undefined: they are not limited. */
  readonly devices?: readonly DeviceRule[];
  /** Of the cgroup; undefined: a new one each time, and none where nothing is asked of it. */
  readonly name?: string;
}

export interface DeviceRule {
  readonly allow: boolean;
  readonly type?: string;
  readonly major?: number;
  readonly minor?: number;
  readonly access: string;
}

/** What goes into config.json's `linux`. BuildKit too puts a level of its own below the parent. */
export function limitsConfig({ limits, parent, devices, name }: Cgroup): { cgroupsPath?: string; resources?: object } {
  if (limits === undefined && parent === undefined && name === undefined) return {};
  const cgroupsPath = posix.join('/', parent ?? '', 'tbuild', name ?? crypto.randomUUID());
  return { cgroupsPath, ...((limits || devices) && { resources: { ...limits, ...(devices && { devices }) } }) };
}

/** Systemd's form is `SLICE:PREFIX:NAME`, which only systemd can make. */
export function checkCgroupParent(parent: string): string {
  if (parent.includes('.slice') && parent.endsWith(':')) {
    throw new TbuildError('unsupported/limits', `--cgroup-parent ${parent}: cgroups through systemd are not supported`, {
      hint: 'name a path below /sys/fs/cgroup, as /builds',
    });
  }
  return parent;
}
