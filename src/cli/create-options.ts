// What the flags of container-flags.ts mean, all together, as CreateOptions. Nothing is looked up but files that flags name, and nothing is made.

import { isAbsolute } from 'node:path';
import type { CreateOptions } from '../containers/create-options.ts';
import type { HealthOnFailure } from '../native/monitor.ts';
import type { Rlimit } from '../sandbox/container-config.ts';
import { checkCgroupParent } from '../sandbox/limits.ts';
import type { containerFlags } from './container-flags.ts';
import type { FlagValues } from './flags.ts';
import type { Environment } from './surroundings.ts';
import { badArgument, badValue, conflict } from './values/bad-argument.ts';
import { parseBytes, parseUlimit } from './values/build-run.ts';
import { parseDevice, parseDeviceRule, parseGpus } from './values/device.ts';
import { readAnnotations, readEnv, readLabels } from './values/env.ts';
import { parseHealth } from './values/health.ts';
import { parseLog, parseRestart, parseSeconds, parseStopSignal } from './values/lifecycle.ts';
import { parseContainerLimits } from './values/limit.ts';
import { parseMounts, parseVolumesFrom } from './values/mount.ts';
import { parseAddedHost, parseDns, parseNetwork } from './values/network.ts';
import { parsePlatformFlag } from './values/platform.ts';
import { exposedOf, parseExpose, parsePublish } from './values/port.ts';
import { runtimeOf } from './values/runtime.ts';
import { parseCapabilities, parseNamespaces, parseSecurity, parseSysctls } from './values/security.ts';

export type ContainerFlags = FlagValues<typeof containerFlags>;

export interface CreateSurroundings {
  readonly env: Environment;
  /** A line about a flag that is taken and has no effect. */
  readonly tell: (line: string) => void;
}

export function readCreateOptions(
  flags: ContainerFlags,
  image: string,
  command: readonly string[],
  { env, tell }: CreateSurroundings,
): CreateOptions {
  refuse(flags);
  const network = parseNetwork({
    ...flags,
    network: [...flags.net, ...flags.network],
    'network-alias': [...flags['net-alias'], ...flags['network-alias']],
  });
  const namespaces = parseNamespaces(flags);
  const ports = flags.publish.flatMap(parsePublish);
  const platform = parsePlatformFlag(flags.platform);
  const health = parseHealth(flags);
  const options: CreateOptions = {
    image,
    command,
    ...(platform && { platform }),
    pull: pullOf(flags.pull),
    ...(flags.name && { name: flags.name }),
    ...(flags.entrypoint !== undefined && { entrypoint: flags.entrypoint === '' ? [] : [flags.entrypoint] }),
    env: readEnv(flags.env, flags['env-file'], env),
    labels: readLabels(flags.label, flags['label-file']),
    annotations: readAnnotations(flags.annotation),
    ...(flags.workdir && { workdir: workdirOf(flags.workdir) }),
    ...(flags.user && { user: flags.user }),
    groups: flags['group-add'],
    hostname: flags.hostname ?? '',
    domainname: flags.domainname ?? '',
    terminal: flags.tty,
    openStdin: flags.interactive,
    network,
    exposed: [...new Set([...flags.expose.flatMap(parseExpose), ...ports.map(exposedOf)])],
    ports,
    publishAll: flags['publish-all'],
    dns: parseDns(flags.dns, flags['dns-search'], [...flags['dns-opt'], ...flags['dns-option']]),
    extraHosts: flags['add-host'].map(parseAddedHost),
    mounts: parseMounts(flags),
    volumesFrom: flags['volumes-from'].map(parseVolumesFrom),
    readonlyRoot: flags['read-only'],
    privileged: flags.privileged,
    capAdd: parseCapabilities(flags['cap-add'], 'CapAdd'),
    capDrop: parseCapabilities(flags['cap-drop'], 'CapDrop'),
    security: parseSecurity(flags['security-opt'], tell),
    devices: [...flags.device.flatMap(parseDevice), ...(flags.gpus === undefined ? [] : parseGpus(flags.gpus))],
    deviceRules: flags['device-cgroup-rule'].map(parseDeviceRule),
    limits: parseContainerLimits(flags),
    ...(flags['cgroup-parent'] && { cgroupParent: checkCgroupParent(flags['cgroup-parent']) }),
    rlimits: ulimits(flags.ulimit),
    ...sizeOfShm(flags['shm-size']),
    sysctls: parseSysctls(flags.sysctl, network.mode === 'host', namespaces.ipc === 'host'),
    ...oomScore(flags['oom-score-adj']),
    init: flags.init,
    ...namespaces,
    ...runtimeOf(flags.runtime, env),
    restart: parseRestart(flags.restart),
    autoRemove: flags.rm,
    ...(flags['stop-signal'] && { stopSignal: parseStopSignal(flags['stop-signal']) }),
    ...(flags['stop-timeout'] !== undefined && { stopTimeoutSeconds: parseSeconds('--stop-timeout', flags['stop-timeout']) }),
    ...(health && { health }),
    ...(flags['health-on-failure'] !== 'none' && { healthOnFailure: flags['health-on-failure'] as HealthOnFailure }),
    log: parseLog(flags['log-driver'], flags['log-opt'], tell),
    ...(flags.cidfile && { cidFile: flags.cidfile }),
  };
  checkTogether(options);
  return options;
}

/** Which streams of a container `run -a` and `start -a` join; none given: standard output and error, and input with -i. */
export function attachedStreams(attach: readonly string[], interactive: boolean): ('stdin' | 'stdout' | 'stderr')[] {
  const streams = attach.map((text) => {
    const stream = (['stdin', 'stdout', 'stderr'] as const).find((name) => name === text.toLowerCase());
    if (!stream) throw badArgument('-a, --attach', text, 'valid streams are STDIN, STDOUT and STDERR');
    return stream;
  });
  return [
    ...new Set([
      ...(interactive ? (['stdin'] as const) : []),
      ...(attach.length > 0 ? streams : (['stdout', 'stderr'] as const)),
    ]),
  ];
}

/** What docker has and tbuild has not, or has only one of. */
function refuse(flags: ContainerFlags): void {
  if (flags.link.length > 0)
    throw badArgument(
      '--link',
      flags.link[0] as string,
      'links are not supported',
      'containers of one network find each other by name: tbuild network create, then --network',
    );
  if (flags.isolation && flags.isolation !== 'default')
    throw badValue(`invalid isolation: ${flags.isolation}: there is only "default" on Linux`);
  if (flags['volume-driver'] && flags['volume-driver'] !== 'local')
    throw badValue(`there is no volume driver "${flags['volume-driver']}": volumes are directories of this machine ("local")`);
  if (flags['storage-opt'].length > 0)
    throw badArgument('--storage-opt', flags['storage-opt'][0] as string, 'the store has no options for one container');
}

function pullOf(text: string): CreateOptions['pull'] {
  if (text === 'always' || text === 'missing' || text === 'never') return text;
  throw badValue(`invalid pull option: '${text}': must be one of "always", "missing" or "never"`);
}

function workdirOf(path: string): string {
  if (!isAbsolute(path)) throw badValue(`the working directory '${path}' is invalid, it needs to be an absolute path`);
  return path;
}

/** Of one kind the last counts. */
function ulimits(texts: readonly string[]): Rlimit[] {
  return [...new Map(texts.map(parseUlimit).map((limit) => [limit.type, limit])).values()];
}

function sizeOfShm(text: string | undefined): { shmBytes?: number } {
  const shmBytes = text === undefined || text === '' ? 0 : parseBytes(text, '--shm-size');
  return shmBytes === 0 ? {} : { shmBytes };
}

function oomScore(text: string | undefined): { oomScoreAdj?: number } {
  if (text === undefined || text === '') return {};
  const oomScoreAdj = /^-?\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (!(oomScoreAdj >= -1000 && oomScoreAdj <= 1000))
    throw badValue(`invalid value ${text}, range for oom score adj is [-1000, 1000]`);
  return { oomScoreAdj };
}

/** moby: runconfig/hostconfig_unix.go and the like. */
function checkTogether(options: CreateOptions): void {
  const { network, hostname, dns, extraHosts, ports, exposed } = options;
  if (options.autoRemove && options.restart.name !== 'no') throw conflict('cannot specify both --restart and --rm');
  if (options.uts === 'host' && (hostname !== '' || options.domainname !== '')) throw conflict('hostname and the UTS mode');
  if (network.mode !== 'container') return;
  if (hostname !== '') throw conflict('hostname and the network mode');
  if (dns.servers.length > 0) throw conflict('dns and the network mode');
  if (extraHosts.length > 0) throw conflict('custom host-to-IP mapping and the network mode');
  if (ports.length > 0 || options.publishAll) throw conflict('port publishing and the container type network mode');
  if (exposed.length > 0) throw conflict('port exposing and the container type network mode');
}
