// What a container is to be, as `create` and `run` resolved it from flags and image. It never changes but by `update`, `rename` and networks: each start makes the
// runtime's configuration of it anew (root-spec.ts). Stored as JSON in the record; `inspect` shows it in docker's form.

import type { HealthOnFailure } from '../native/monitor.ts';
import type { Healthcheck, Platform } from '../oci/config.ts';
import type { Rlimit } from '../sandbox/container-config.ts';
import type { DeviceRule, Limits } from '../sandbox/limits.ts';

export interface ContainerSpec {
  /** As it was asked for, and the image's ID. */
  readonly image: { readonly name: string; readonly id: string };
  /** Layer ids, bottom first. */
  readonly layers: readonly string[];
  readonly platform: Platform;
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** The image's and what was given, later ones winning; PATH, HOSTNAME, HOME and TERM are added at a start. */
  readonly env: readonly string[];
  readonly workdir: string;
  /** `''`: root. */
  readonly user: string;
  /** Names or numbers, as --group-add has them. */
  readonly groups: readonly string[];
  /** `''`: the beginning of the ID. */
  readonly hostname: string;
  readonly domainname: string;
  readonly terminal: boolean;
  /** Standard input stays open while nobody is attached. */
  readonly openStdin: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly network: NetworkChoice;
  /** `80/tcp`: the image's and --expose's. */
  readonly exposed: readonly string[];
  readonly ports: readonly PortMapping[];
  /** -P */
  readonly publishAll: boolean;
  readonly dns: { readonly servers: readonly string[]; readonly search: readonly string[]; readonly options: readonly string[] };
  /** `name:address`. */
  readonly extraHosts: readonly string[];
  readonly mounts: readonly ContainerMount[];
  readonly readonlyRoot: boolean;
  readonly privileged: boolean;
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  readonly security: {
    readonly noNewPrivileges: boolean;
    /** A profile's JSON, `unconfined`, or undefined: the default. */
    readonly seccomp?: string;
    /** Paths that are not hidden; `ALL`. */
    readonly unmask: readonly string[];
  };
  /** Host path, path inside and rights (`rwm`); or the name of a CDI device. */
  readonly devices: readonly (
    | { readonly host: string; readonly path: string; readonly access: string }
    | { readonly cdi: string }
  )[];
  /** Of --device-cgroup-rule: what may be opened, and made, beside the devices. */
  readonly deviceRules: readonly DeviceRule[];
  readonly limits: Limits;
  readonly cgroupParent?: string;
  readonly cgroupns: 'private' | 'host';
  readonly rlimits: readonly Rlimit[];
  readonly shmBytes?: number;
  readonly sysctls: Readonly<Record<string, string>>;
  readonly oomScoreAdj?: number;
  /** A first process that reaps and forwards signals. */
  readonly init: boolean;
  /** `private`, `host`, `container:ID` (ipc also `shareable`, `none`). */
  readonly pid: string;
  readonly ipc: string;
  readonly uts: string;
  readonly userns: 'auto' | 'host';
  /** Another OCI runtime than the bundled one. */
  readonly runtime?: string;
  readonly restart: RestartPolicy;
  /** --rm */
  readonly autoRemove: boolean;
  /** `SIGTERM`. */
  readonly stopSignal: string;
  readonly stopTimeoutSeconds: number;
  /** As in an image's configuration, times in nanoseconds; undefined: none. */
  readonly health?: Healthcheck;
  /** --health-on-failure */
  readonly healthOnFailure?: HealthOnFailure;
  readonly log: { readonly driver: 'json-file' | 'local' | 'none'; readonly options: Readonly<Record<string, string>> };
}

export interface RestartPolicy {
  readonly name: 'no' | 'always' | 'on-failure' | 'unless-stopped';
  /** Of on-failure; 0: as often as it fails. */
  readonly maximumRetries: number;
}

export interface NetworkChoice {
  /** `bridge`: one or several networks, by name. `container`: that of another one, by ID. */
  readonly mode: 'bridge' | 'host' | 'none' | 'container';
  readonly container?: string;
  readonly networks: readonly NetworkAttachment[];
}

export interface NetworkAttachment {
  readonly network: string;
  readonly aliases: readonly string[];
  /** Asked for with --ip. */
  readonly address?: string;
  readonly mac?: string;
}

export interface PortMapping {
  /** `''`: every address of the host. */
  readonly hostAddress: string;
  /** 0: any that is free. */
  readonly hostPort: number;
  /** Of several that are offered for one port of the container: any from `hostPort` to this that is free. */
  readonly hostPortEnd?: number;
  readonly containerPort: number;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
}

export type ContainerMount =
  | {
      readonly type: 'bind';
      readonly source: string;
      readonly target: string;
      readonly readonly: boolean;
      /** `''`: rprivate. */
      readonly propagation: string;
      readonly nonRecursive: boolean;
      /** Of one that is read-only: what is mounted below it is not. */
      readonly isWritableBelow?: boolean;
      /** A directory is made where the source is missing (-v does, --mount does not). */
      readonly makesSource: boolean;
    }
  | {
      readonly type: 'volume';
      readonly name: string;
      /** --mount without a source, and VOLUME: goes with the container (rm -v, --rm). */
      readonly isAnonymous: boolean;
      readonly target: string;
      readonly readonly: boolean;
      readonly noCopy: boolean;
      readonly subpath?: string;
      /** Of a volume that is made for this mount. */
      readonly labels?: Readonly<Record<string, string>>;
    }
  | { readonly type: 'tmpfs'; readonly target: string; readonly options: readonly string[] }
  | { readonly type: 'image'; readonly image: string; readonly layers: readonly string[]; readonly target: string };
