// What a container gets for --device, --gpus, --device-cgroup-rule and --privileged: nodes of this machine as they are now, and what CDI
// specifications add. In docker's words where something is not there.

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TbuildError } from '../base/errors.ts';
import { type DeviceEdits, NO_DEVICES } from '../sandbox/container-config.ts';
import { type DeviceNode, nodeAt } from '../sandbox/device-node.ts';
import type { DeviceRule } from '../sandbox/limits.ts';
import type { ContainerSpec } from './spec.ts';

/** `rules`: what may be opened; undefined: what there are nodes for. */
export type Devices = DeviceEdits & { readonly rules: readonly DeviceRule[] | undefined };

export async function devicesOf({ devices, deviceRules, privileged }: ContainerSpec): Promise<Devices> {
  const named = devices.flatMap((device) => ('cdi' in device ? [device.cdi] : []));
  const edits = named.length > 0 ? await cdiEdits(named) : NO_DEVICES;
  const given = devices.flatMap((device) => ('cdi' in device ? [] : nodesBelow(device)));
  const nodes = [...(privileged ? everyNode('/dev') : []), ...given.map(({ node }) => node), ...edits.nodes];
  // Of two on one path the last counts.
  const byPath = [...new Map(nodes.map((node) => [node.path, node])).values()];
  const isRestricted = !privileged && (deviceRules.length > 0 || given.some(({ access }) => access !== 'rwm'));
  const rules = isRestricted
    ? [NOTHING, ...given.map(ruleOf), ...edits.nodes.map((node) => ruleOf({ node, access: 'rwm' })), ...deviceRules]
    : undefined;
  return { ...edits, nodes: byPath, rules };
}

async function cdiEdits(named: readonly string[]): Promise<DeviceEdits> {
  const { CdiDevices, cdiFolders } = await import('../sandbox/cdi.ts');
  const known = await CdiDevices.read(cdiFolders(process.env));
  return known.edits(named.flatMap((name) => known.require(name, true)));
}

interface GivenNode {
  readonly node: DeviceNode;
  readonly access: string;
}

type HostDevice = Exclude<ContainerSpec['devices'][number], { readonly cdi: string }>;

/** Of a directory all that is below it (moby: oci/devices_linux.go). */
function nodesBelow({ host, path, access }: HostDevice): GivenNode[] {
  const stat = statSync(host, { throwIfNoEntry: false });
  const gathering = (why: string) =>
    new TbuildError('run/device', `error gathering device information while adding custom device "${host}": ${why}`);
  if (!stat) throw gathering('no such file or directory');
  const nodes = stat.isDirectory()
    ? everyNode(host).map((node) => ({ ...node, path: join(path, node.path.slice(host.length)) }))
    : [withOwner(host)].flatMap((node) => (node ? [{ ...node, path }] : []));
  if (nodes.length === 0) throw gathering('not a device node');
  return nodes.map((node) => ({ node, access }));
}

/** A node with the rights that it has here. */
function withOwner(path: string): DeviceNode | undefined {
  const node = nodeAt(path);
  const stat = node && statSync(path);
  return stat && { ...node, fileMode: stat.mode & 0o777, uid: stat.uid, gid: stat.gid };
}

/** Those that each container has of its own (moby: oci/devices_linux.go leaves them out, too). */
const OWN = ['pts', 'shm', 'fd', 'mqueue', 'console', '.lxc', '.lxd-mounts', '.udev'];

function everyNode(directory: string): DeviceNode[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (OWN.includes(entry.name)) return [];
    if (entry.isDirectory()) return everyNode(path);
    return entry.isCharacterDevice() || entry.isBlockDevice() ? (withOwner(path) ?? []) : [];
  });
}

/** Runtimes themselves add what every container has (runtime-spec, config-linux.md: Default Devices). */
const NOTHING: DeviceRule = { allow: false, access: 'rwm' };

function ruleOf({ node: { type, major, minor }, access }: GivenNode): DeviceRule {
  return { allow: true, type: type === 'u' ? 'c' : type, major, minor, access };
}
