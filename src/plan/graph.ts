// The graph of steps a build consists of: what each step is told to do, and which states it stands on.
// Pure data; made by plan.ts, read by src/solve. Metadata instructions are no steps: they end in the config.

import type { Digest } from '../base/digest.ts';
import type { Location } from '../base/errors.ts';
import type { GitSource } from '../context/git/url.ts';
import type { ContainerConfig, HistoryEntry, Platform } from '../oci/config.ts';

/** Position of a step in `Graph.steps`; a step refers to earlier steps only. */
export type StepId = number;

/** One step. Its result is a state: the layers of `parent`, and what the step itself adds. */
export interface Step {
  readonly id: StepId;
  /** As shown: `[build 3/7] RUN npm ci`, `[internal] load build context`. */
  readonly name: string;
  /** Name of the stage, or its index; empty for sources. */
  readonly stage: string;
  /** The instruction; none for sources. */
  readonly where: Location | undefined;
  /** The state below; undefined: nothing is below (scratch), or a source. */
  readonly parent: StepId | undefined;
  readonly op: Operation;
  /** `--no-cache-filter`: earlier results of it do not count. */
  readonly noCache?: true;
}

export type Operation = ImageOperation | ContextOperation | RemoteOperation | CopyOperation | RunOperation | WorkdirOperation;

/** The layers of a base image. */
export interface ImageOperation {
  readonly kind: 'image';
  /** Normalised: `docker.io/library/debian:12`. */
  readonly reference: string;
  readonly platform: Platform;
}

/** A build context after its ignore rules. `''` is the main one. */
export interface ContextOperation {
  readonly kind: 'context';
  readonly name: string;
}

export type RemoteOperation = HttpOperation | GitOperation;

/** A file behind a URL. */
export interface HttpOperation {
  readonly kind: 'http';
  readonly url: string;
  /** What the file is called. */
  readonly name: string;
  readonly checksum: Digest | undefined;
}

/** Files of a git repository, at a commit. */
export interface GitOperation {
  readonly kind: 'git';
  readonly source: GitSource;
}

export type Owner = { readonly user: string; readonly group: string | undefined };

export interface CopyOperation {
  readonly kind: 'copy';
  /** ADD extracts local archives (unless `unpack` is false). */
  readonly add: boolean;
  /** Where `paths` are looked up: a context or a state; undefined when there are only heredocs. */
  readonly from: StepId | undefined;
  /** True when `from` is a build context: owners become 0:0. */
  readonly fromContext: boolean;
  /** As written after expansion: may hold wildcards (Go filepath.Match), `..` and leading slashes. */
  readonly paths: readonly string[];
  /** What ADD fetches, as a whole; `before`: how many of `paths` were written before it. */
  readonly remotes: readonly { readonly from: StepId; readonly before: number }[];
  readonly inline: readonly { readonly name: string; readonly content: string }[];
  /** Absolute, cleaned; keeps a trailing slash when it was written with one (or was `.`). */
  readonly destination: string;
  readonly owner: Owner | undefined;
  /** Octal digits or chmod(1) symbolic. */
  readonly mode: string | undefined;
  readonly link: boolean;
  readonly parents: boolean;
  readonly exclude: readonly string[];
  readonly unpack: boolean | undefined;
}

export type RunMount =
  | {
      readonly type: 'bind';
      readonly target: string;
      readonly from: StepId | undefined;
      readonly source: string;
      readonly writable: boolean;
    }
  | {
      readonly type: 'cache';
      readonly target: string;
      readonly id: string;
      readonly sharing: 'shared' | 'private' | 'locked';
      readonly readonly: boolean;
      readonly from: StepId | undefined;
      readonly source: string;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    }
  | { readonly type: 'tmpfs'; readonly target: string; readonly sizeBytes: number | undefined; readonly readonly: boolean }
  | {
      readonly type: 'secret';
      readonly id: string;
      readonly target: string | undefined;
      readonly env: string | undefined;
      readonly required: boolean;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    }
  | {
      readonly type: 'ssh';
      readonly id: string;
      readonly target: string | undefined;
      readonly required: boolean;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    };

/** A CDI device, a kind of them, or a class. */
export interface RunDevice {
  readonly name: string;
  readonly required: boolean;
}

export interface RunOperation {
  readonly kind: 'run';
  /** The whole argv, the shell included. */
  readonly args: readonly string[];
  /** `NAME=value`, config Env first, then ARGs; sorted out of duplicates. */
  readonly env: readonly string[];
  /** Undeclared proxy variables: in the environment, in no key. */
  readonly proxyEnv: readonly string[];
  /** As in the config: name, uid, `user:group`; empty: root. */
  readonly user: string;
  readonly workdir: string;
  readonly mounts: readonly RunMount[];
  readonly network: 'default' | 'host' | 'none';
  readonly security: 'sandbox' | 'insecure';
  readonly devices: readonly RunDevice[];
  /** Undefined: the usual one. */
  readonly hostname: string | undefined;
  /** Heredoc scripts that start with `#!`: executables under /dev/pipes. */
  readonly pipes: readonly { readonly name: string; readonly content: string }[];
  readonly platform: Platform;
  /** `# tbuild: trace=off` above it: not watched, its inputs take part as a whole. */
  readonly trace?: 'off';
}

/** WORKDIR makes its directory, owned by the user of the moment. */
export interface WorkdirOperation {
  readonly kind: 'workdir';
  /** Absolute, cleaned. */
  readonly path: string;
  readonly user: string;
}

/** A line of the image's history; `step` is the step whose layer it is (none: `empty_layer`, or a line of the base image's). */
export interface PlannedHistory {
  readonly entry: HistoryEntry;
  readonly step: StepId | undefined;
  /** It tells how the base image was made, not this build. */
  readonly isBase?: true;
}

/** What an SBOM is to be of beside the image: a stage's final state, or the build context. */
export interface Scan {
  readonly name: string;
  readonly of: StepId | undefined | 'context';
}

/** What the target stage becomes. */
export interface Target {
  readonly stage: string;
  /** The final state; undefined: an image without a layer. */
  readonly state: StepId | undefined;
  readonly platform: Platform;
  readonly author: string | undefined;
  readonly config: ContainerConfig;
  /** History of the base image first, as it is, then this build's. */
  readonly history: readonly PlannedHistory[];
  /** Unset: none. */
  readonly scans?: readonly Scan[];
}

export interface Graph {
  /** Every step that the target needs, and no other, each after those it stands on. */
  readonly steps: readonly Step[];
  readonly target: Target;
}

/** What is built at once: for one platform its graph, for several theirs as one. */
export interface Plan {
  readonly steps: readonly Step[];
  /** One for each platform, in the order they were asked for. */
  readonly targets: readonly Target[];
}

/** The steps whose layers a target's image has, bottom first. */
export function stepsBelow({ state }: Pick<Target, 'state'>, steps: readonly Step[]): Step[] {
  const chain: Step[] = [];
  for (let id = state; id !== undefined; id = steps[id]!.parent) chain.push(steps[id]!);
  return chain.reverse();
}

/** What planning needs to know of base images. */
export interface BaseImages {
  /** Throws TbuildError `image/unknown` when there is none of that name; undefined: planning is to go on without it. */
  config(reference: string, platform: Platform): Promise<import('../oci/config.ts').ImageConfig | undefined>;
}
