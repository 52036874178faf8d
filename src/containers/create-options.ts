// What `run` and `create` were asked for, before anything is looked up: no image, no volume, no other container. src/cli/create-options.ts makes it of flags,
// create.ts a ContainerSpec of it and of the image. Values are checked as docker's command line checks them.

import type { Platform } from '../oci/config.ts';
import type { ContainerMount, ContainerSpec, NetworkAttachment } from './spec.ts';

/** These go into the container's specification as they are. */
type Settled = Pick<
  ContainerSpec,
  | 'groups'
  | 'hostname'
  | 'domainname'
  | 'terminal'
  | 'openStdin'
  | 'labels'
  | 'annotations'
  | 'ports'
  | 'publishAll'
  | 'dns'
  | 'readonlyRoot'
  | 'privileged'
  | 'capAdd'
  | 'capDrop'
  | 'security'
  | 'devices'
  | 'deviceRules'
  | 'limits'
  | 'cgroupParent'
  | 'cgroupns'
  | 'rlimits'
  | 'shmBytes'
  | 'sysctls'
  | 'oomScoreAdj'
  | 'init'
  | 'uts'
  | 'userns'
  | 'runtime'
  | 'restart'
  | 'autoRemove'
  | 'log'
>;

export interface CreateOptions extends Settled {
  /** A name, an ID, or a unique beginning of one. */
  readonly image: string;
  /** Unset: of an image for several platforms this machine's. */
  readonly platform?: Platform;
  readonly pull: 'missing' | 'always' | 'never';
  /** Unset: made up. */
  readonly name?: string;
  /** Empty: the image's own, unless an entrypoint is given. */
  readonly command: readonly string[];
  /** Empty takes the image's away. Given at all it takes the image's CMD away. */
  readonly entrypoint?: readonly string[];
  /** `NAME=value`, over the image's; later ones win. `NAME` alone takes the image's away. */
  readonly env: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  /** `80/tcp`: what --expose has, and what is published; the image's come to it. */
  readonly exposed: readonly string[];
  readonly network: NetworkRequest;
  /** `name:address`; the address may be `host-gateway`. */
  readonly extraHosts: readonly string[];
  readonly mounts: readonly RequestedMount[];
  /** Names of containers, as they were given. */
  readonly volumesFrom: readonly { readonly container: string; readonly readonly: boolean }[];
  /** As in the specification, but `container:` is followed by a name as it was given. */
  readonly pid: string;
  readonly ipc: string;
  /** Unset: the image's. */
  readonly stopSignal?: string;
  readonly stopTimeoutSeconds?: number;
  /** Unset: the image's; `none`: no check. What is unset in it is the image's. */
  readonly health?: 'none' | HealthRequest;
  /** A file for the ID, which must not be there. */
  readonly cidFile?: string;
}

/** `default` is what create chooses: a bridge, or what this account can have. `container` holds a name as it was given. */
export type NetworkRequest =
  | { readonly mode: 'default'; readonly attachment: Omit<NetworkAttachment, 'network'> }
  | { readonly mode: 'bridge'; readonly networks: readonly NetworkAttachment[] }
  | { readonly mode: 'host' | 'none' }
  | { readonly mode: 'container'; readonly container: string };

/** As in the specification; anonymous volumes have no name yet, and images no layers. */
export type RequestedMount =
  | Exclude<ContainerMount, { readonly type: 'image' }>
  | Omit<Extract<ContainerMount, { readonly type: 'image' }>, 'layers'>;

/** Durations in nanoseconds. */
export interface HealthRequest {
  /** For the container's shell. */
  readonly command?: string;
  readonly interval?: number;
  readonly timeout?: number;
  readonly startPeriod?: number;
  readonly startInterval?: number;
  readonly retries?: number;
}
