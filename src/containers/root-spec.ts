// What with-root is to make of a container, anew at each start: its root, mounts, files, user, environment, rights, limits and namespaces.
// Looks at the image's layers, at what the container has written, and at this machine; starts nothing.

import { accessSync, constants, mkdirSync } from 'node:fs';
import { hostname as ownHostname } from 'node:os';
import { join } from 'node:path';
import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import { runnerPath } from '../native/binary.ts';
import type { RootSpec } from '../native/with-root.ts';
import { hostPlatform } from '../oci/platform.ts';
import { changeCapabilities, givableCapabilities } from '../sandbox/capabilities.ts';
import { type ContainerExtras, containerConfig, type DeviceEdits, type Mount, SYSTEM_STUB } from '../sandbox/container-config.ts';
import { filesOfOwnNetwork, hostFiles, placeFiles, type SandboxFile } from '../sandbox/files.ts';
import { type Network, networkOf } from '../sandbox/network.ts';
import type { OtherRuntime } from '../sandbox/runtime.ts';
import { defaultSeccomp, type SeccompProfile } from '../sandbox/seccomp.ts';
import { readSeccompProfile } from '../sandbox/seccomp-profile.ts';
import { memoryUpperBytes } from '../sandbox/upper.ts';
import { idmapOptions, MAPPED_IDS, type UserNamespace } from '../sandbox/user-namespace.ts';
import { type Credentials, resolveGroups, resolveUser } from '../snapshots/accounts.ts';
import type { PresentLayer } from '../snapshots/layers.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { writtenAccounts } from './accounts.ts';
import { Containers } from './containers.ts';
import { type Namespaces, namespacesOf } from './namespaces.ts';
import type { NetworkFiles } from './networks/files.ts';
import { devicesOf } from './root-devices.ts';
import { type RootMounts, rootMounts } from './root-mounts.ts';
import type { ContainerSpec } from './spec.ts';

export interface ContainerPlace {
  readonly id: string;
  readonly directory: string;
}

export interface RootChoices {
  /**
   * Networks are set up from outside, in a new namespace of the container's or in another one's; these are files of this machine
   * that may change while it runs. Undefined: there is no engine for them, or nothing to be set up.
   */
  readonly bridge?: NetworkFiles;
  /** Of the terminal that is there. */
  readonly terminalSize?: { readonly width: number; readonly height: number };
}

/** Throws `run/…` and `usage/…` for what the image, the machine or the other container does not have. */
export async function rootSpec(
  workplace: Workplace,
  spec: ContainerSpec,
  container: ContainerPlace,
  choices: RootChoices = {},
): Promise<RootSpec> {
  const runtime = spec.runtime === undefined ? undefined : (await import('../sandbox/runtime.ts')).findRuntime(spec.runtime);
  const layers = await presentLayers(workplace, spec.layers);
  const indexes = layers.map((layer) => workplace.layers.index(layer.id));
  const written = writtenAccounts(container);
  const user = resolveUser(indexes, spec.user, written);
  const network = choices.bridge && spec.network.mode === 'bridge' ? 'none' : networkFor(spec, workplace);
  const namespaces = namespacesOf(workplace, spec, network, runtime !== undefined);
  const devices = await devicesOf(spec);
  const scratch = workplace.store.path('mnt');
  const mounts = await rootMounts(workplace, spec, container, { userns: namespaces.userns, scratch, devices: devices.mounts });
  const hostname = hostnameOf(workplace, spec, container, network);
  const files = filesOf(spec, network, hostname, namespaces, choices).filter(
    ({ destination }) => !mounts.targets.has(destination),
  );
  const placed = placeFiles(scratch, files);
  const cgroup = cgroupOf(spec, container, devices, runtime);
  return {
    scratch,
    layers: layers.map((layer) => workplace.layers.lower(layer)),
    stub: [...SYSTEM_STUB, { path: 'etc/hostname', type: 'file' }, ...mounts.stub, ...initStub(spec)],
    ...(!spec.readonlyRoot && spec.workdir !== '/' && { make: workdir(spec, mounts) }),
    ...(namespaces.userns === 'private' && { userns: MAPPED_IDS }),
    upper: upperOf(workplace, spec, container),
    files: placed.files,
    ...(network === 'own' && filesOfOwnNetwork(network, hostname, addedHosts(spec, network), spec.dns)),
    mounts: mounts.roots,
    config: containerConfig({
      args: [...(spec.init ? INIT : []), ...spec.entrypoint, ...spec.cmd],
      env: environment(spec, user, hostname, devices.env),
      cwd: spec.workdir,
      user: {
        ...user,
        additionalGids: groupsOf(user, [...resolveGroups(indexes, spec.groups, written), ...devices.additionalGids]),
      },
      hostname,
      network,
      userns: namespaces.userns,
      bindsSys: runtime?.bindsSys(network),
      terminal: spec.terminal,
      consoleSize: choices.terminalSize,
      cgroup,
      readonlyRoot: spec.readonlyRoot,
      shmBytes: spec.shmBytes,
      rlimits: spec.rlimits,
      devices: devices.nodes,
      hooks: devices.hooks,
      isInsecure: spec.privileged,
      mounts: outerFirst([
        ...placed.mounts,
        ...bridgeFiles(choices, mounts, namespaces.userns),
        ...initMount(spec),
        ...mounts.mounts,
      ]),
      more: extras(spec, namespaces, mounts, cgroup !== undefined),
    }),
    commit: null,
  };
}

async function presentLayers(workplace: Workplace, ids: readonly string[]): Promise<PresentLayer[]> {
  return workplace.layers.presentAll(
    ids.map((id) => {
      const layer = workplace.layers.get(id as Digest);
      if (layer) return layer;
      throw new TbuildError('store/layer-gone', `the layer ${id} is not in the store`, { hint: 'build or pull its image again' });
    }),
  );
}

function networkFor({ network }: ContainerSpec, workplace: Workplace): Network {
  if (network.mode === 'container') return 'none';
  return networkOf(network.mode === 'bridge' ? 'default' : network.mode, workplace.ids === undefined);
}

/** On the host's network, and in its uts namespace, it has the host's name, and with another's network that one's (moby: daemon/container_operations.go). */
function hostnameOf(
  workplace: Workplace,
  { hostname, uts, network: { container } }: ContainerSpec,
  { id }: ContainerPlace,
  network: Network,
): string {
  if (hostname !== '') return hostname;
  if (container !== undefined) {
    const other = new Containers(workplace).find(container);
    return other.spec.hostname || other.id.slice(0, 12);
  }
  return uts === 'host' || network === 'host' ? ownHostname() : id.slice(0, 12);
}

/** Those of another container's network are that one's. */
function filesOf(
  spec: ContainerSpec,
  network: Network,
  hostname: string,
  namespaces: Namespaces,
  { bridge }: RootChoices,
): SandboxFile[] {
  const own: SandboxFile = {
    name: 'hostname',
    destination: '/etc/hostname',
    content: Buffer.from(`${hostname}\n`),
    mode: 0o644,
    uid: 0,
    gid: 0,
    readonly: false,
  };
  if (bridge) return [own];
  const name = spec.domainname === '' ? hostname : `${hostname}.${spec.domainname} ${hostname}`;
  return [...hostFiles(namespaces.isOnHostNetwork ? 'host' : network, name, addedHosts(spec, network), spec.dns), own];
}

/** Where what listens on this machine is found: on its network it is here, else with pasta and slirp4netns at their gateway. */
function addedHosts({ extraHosts }: ContainerSpec, network: Network): { name: string; address: string }[] {
  const gateway = network === 'own' ? '10.0.2.2' : '127.0.0.1';
  return extraHosts.map((text) => {
    const at = text.indexOf(':');
    const address = text.slice(at + 1);
    return { name: text.slice(0, at), address: address === 'host-gateway' ? gateway : address };
  });
}

function bridgeFiles({ bridge }: RootChoices, { targets }: RootMounts, userns: UserNamespace): Mount[] {
  if (!bridge) return [];
  const bind = (source: string, destination: string): Mount => ({
    destination,
    type: 'bind',
    source,
    options: ['bind', 'rprivate', 'nosuid', 'nodev', ...idmapOptions(userns)],
  });
  return [bind(bridge.hosts, '/etc/hosts'), bind(bridge.resolvConf, '/etc/resolv.conf')].filter(
    ({ destination }) => !targets.has(destination),
  );
}

/** One that the image lacks is root's (moby: SetupWorkingDirectory); in a mount it is not the image's. */
function workdir({ workdir: path }: ContainerSpec, { targets }: RootMounts): NonNullable<RootSpec['make']> {
  const isMounted = [...targets].some((target) => path === target || path.startsWith(`${target}/`));
  return isMounted ? [] : [{ path: path.replace(/^\/+|\/+$/g, ''), uid: 0, gid: 0 }];
}

/** Kept, and durable, as long as the container is; of one that goes with its end nothing has to last. */
function upperOf(
  workplace: Workplace,
  { readonlyRoot, autoRemove }: ContainerSpec,
  { directory }: ContainerPlace,
): RootSpec['upper'] {
  if (readonlyRoot) return null;
  if (!workplace.driver.takesUppers) return { tmpfs: memoryUpperBytes(1) };
  const upper = { directory: join(directory, 'upper'), work: join(directory, 'work') };
  mkdirSync(upper.directory, { recursive: true });
  mkdirSync(upper.work, { recursive: true });
  return { ...upper, lasts: !autoRemove };
}

const DEFAULT_PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** In docker's order. HOME comes last, of passwd, as runc adds it. */
function environment(spec: ContainerSpec, { home }: Credentials, hostname: string, ofDevices: readonly string[]): string[] {
  const defaults = [DEFAULT_PATH, `HOSTNAME=${hostname}`, ...(spec.terminal ? ['TERM=xterm'] : [])];
  const byName = new Map([...defaults, ...spec.env, ...ofDevices].map((pair) => [pair.split('=', 1)[0], pair]));
  if (!byName.has('HOME')) byName.set('HOME', `HOME=${home ?? '/'}`);
  return [...byName.values()];
}

function groupsOf({ additionalGids }: Credentials, added: readonly number[]): number[] {
  return [...new Set([...additionalGids, ...added])];
}

/** Where docker has its own. */
const INIT_PATH = '/sbin/docker-init';
const INIT = [INIT_PATH, 'init-process', '--'];

const initStub = ({ init }: ContainerSpec) => (init ? [{ path: INIT_PATH.slice(1), type: 'file' as const }] : []);

function initMount({ init }: ContainerSpec): Mount[] {
  return init ? [{ destination: INIT_PATH, type: 'bind', source: runnerPath(), options: ['bind', 'ro', 'nosuid', 'nodev'] }] : [];
}

/** Named after the container: whoever finds it knows whose it is. Without limits one where none can be made is done without. */
function cgroupOf(
  spec: ContainerSpec,
  { id }: ContainerPlace,
  devices: DeviceEdits & { readonly rules: Rules },
  runtime: OtherRuntime | undefined,
) {
  const { limits, cgroupParent: parent } = spec;
  const isLimited = Object.keys(limits).length > 0 || devices.rules !== undefined;
  if (!isLimited && parent === undefined && !canMakeCgroups()) return undefined;
  const asked = {
    name: id,
    ...(Object.keys(limits).length > 0 && { limits }),
    ...(parent !== undefined && { parent }),
    ...(devices.rules && { devices: devices.rules }),
    // Others deny every device of whom nothing is said (runc).
    ...(runtime && spec.privileged && { devices: [{ allow: true, access: 'rwm' }] }),
  };
  return runtime ? runtime.cgroupOf(asked, devices.nodes, spec.privileged) : asked;
}

type Rules = Awaited<ReturnType<typeof devicesOf>>['rules'];

function canMakeCgroups(): boolean {
  if (process.getuid?.() !== 0) return false;
  try {
    accessSync('/sys/fs/cgroup', constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function extras(spec: ContainerSpec, namespaces: Namespaces, mounts: RootMounts, hasCgroup: boolean): ContainerExtras {
  const capabilities = spec.privileged
    ? givableCapabilities().filter((name) => !spec.capDrop.includes(name))
    : changeCapabilities(spec.capAdd, spec.capDrop);
  const { unmask, noNewPrivileges } = spec.security;
  return {
    domainname: spec.domainname,
    annotations: spec.annotations,
    capabilities,
    noNewPrivileges,
    seccomp: seccompOf(spec, capabilities),
    isUnmasked: (path) => unmask.some((one) => one === 'ALL' || one === path),
    sysctls: spec.sysctls,
    oomScoreAdj: spec.oomScoreAdj,
    namespaces: namespaces.places,
    cgroups: hasCgroup || spec.cgroupns === 'host' ? (spec.privileged ? 'rw' : 'ro') : undefined,
    ipcFiles: spec.ipc === 'host' ? 'host' : spec.ipc === 'none' ? 'none' : 'own',
    propagation: mounts.propagation,
  };
}

function seccompOf({ privileged, security: { seccomp } }: ContainerSpec, capabilities: readonly string[]): SeccompProfile | null {
  if (seccomp === 'unconfined') return null;
  const { architecture } = hostPlatform();
  if (seccomp !== undefined) return readSeccompProfile(seccomp, { architecture, capabilities });
  return privileged ? null : defaultSeccomp(architecture, capabilities);
}

/** A mount in another goes on top of it, in whatever order they were written. */
function outerFirst(mounts: readonly Mount[]): Mount[] {
  return mounts.toSorted((a, b) => (a.destination < b.destination ? -1 : a.destination > b.destination ? 1 : 0));
}
