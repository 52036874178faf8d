// What a Dockerfile says, typed: one type for each instruction, as written. Variables are not expanded yet,
// and nothing here knows what a build does with it.

import type { Location } from '../base/errors.ts';
import type { DeviceRequest } from './device.ts';
import type { Places } from './places.ts';
import type { Escape } from './words.ts';

export interface Dockerfile {
  /** Name and text (without a byte order mark), for excerpts. */
  readonly file: string;
  readonly text: string;
  readonly escapeToken: Escape;
  /** The `# syntax=` directive as written. */
  readonly syntax: string | undefined;
  /** ARG before the first FROM. */
  readonly globalArgs: readonly ArgInstruction[];
  readonly stages: readonly Stage[];
}

/** FROM, and what follows it. */
export interface Stage {
  /** Lower case; undefined without AS. */
  readonly name: string | undefined;
  readonly base: string;
  readonly platform: string | undefined;
  readonly instructions: readonly Instruction[];
  readonly original: string;
  readonly where: Location;
  readonly places: Places;
  readonly comments: readonly string[];
}

interface Written {
  /** The instruction's text with its lines joined; no bodies of heredocs. */
  readonly original: string;
  readonly where: Location;
  /** Of its flags and arguments. */
  readonly places: Places;
  /** The comment lines directly above it, without `#`. */
  readonly comments: readonly string[];
}

/** Text for the shell, with the heredocs in it, or the arguments themselves. */
export type CommandLine =
  | { readonly form: 'shell'; readonly text: string; readonly heredocs: readonly ShellHeredoc[] }
  | { readonly form: 'exec'; readonly args: readonly string[] };

export interface ShellHeredoc {
  readonly name: string;
  /** As in the file. */
  readonly content: string;
  /** `content` without leading tabs where the word was `<<-`. */
  readonly body: string;
}

/** A heredoc as a source of COPY or ADD: a file named like its delimiter. */
export interface InlineFile {
  readonly name: string;
  readonly content: string;
  readonly expand: boolean;
}

interface Copying extends Written {
  readonly sources: readonly string[];
  readonly inline: readonly InlineFile[];
  readonly destination: string;
  readonly owner: string | undefined;
  readonly mode: string | undefined;
  readonly link: boolean;
  readonly exclude: readonly string[];
}

export interface AddInstruction extends Copying {
  readonly kind: 'add';
  readonly keepGitDir: boolean | undefined;
  readonly checksum: string | undefined;
  readonly unpack: boolean | undefined;
}

export interface CopyInstruction extends Copying {
  readonly kind: 'copy';
  readonly from: string | undefined;
  readonly parents: boolean;
}

export interface ArgInstruction extends Written {
  readonly kind: 'arg';
  /** `value` undefined: declared without a default. */
  readonly args: readonly { readonly name: string; readonly value: string | undefined }[];
}

export interface CmdInstruction extends Written {
  readonly kind: 'cmd';
  readonly command: CommandLine;
}

export interface EntrypointInstruction extends Written {
  readonly kind: 'entrypoint';
  readonly command: CommandLine;
}

export interface Pair {
  readonly name: string;
  readonly value: string;
  /** Written without `=`: `ENV name rest of the line`. */
  readonly isLegacy?: true;
}

export interface EnvInstruction extends Written {
  readonly kind: 'env';
  readonly pairs: readonly Pair[];
}

export interface LabelInstruction extends Written {
  readonly kind: 'label';
  readonly pairs: readonly Pair[];
}

export interface ExposeInstruction extends Written {
  readonly kind: 'expose';
  readonly ports: readonly string[];
}

export interface HealthcheckInstruction extends Written {
  readonly kind: 'healthcheck';
  /** `NONE`, or `CMD` or `CMD-SHELL` and the command. */
  readonly test: readonly string[];
  /** 0: as inherited. */
  readonly intervalNs: number;
  readonly timeoutNs: number;
  readonly startPeriodNs: number;
  readonly startIntervalNs: number;
  readonly retries: number;
}

export interface MaintainerInstruction extends Written {
  readonly kind: 'maintainer';
  readonly author: string;
}

export interface OnbuildInstruction extends Written {
  readonly kind: 'onbuild';
  /** The trigger as the image's config keeps it, bodies of heredocs put back. */
  readonly trigger: string;
}

export interface RunInstruction extends Written {
  readonly kind: 'run';
  readonly command: CommandLine;
  /** The values of `--mount`; mount.ts reads them once variables are known. */
  readonly mounts: readonly string[];
  readonly network: 'default' | 'none' | 'host';
  readonly security: 'sandbox' | 'insecure';
  readonly devices: readonly DeviceRequest[];
}

export interface ShellInstruction extends Written {
  readonly kind: 'shell';
  readonly shell: readonly string[];
}

export interface StopsignalInstruction extends Written {
  readonly kind: 'stopsignal';
  readonly signal: string;
}

export interface UserInstruction extends Written {
  readonly kind: 'user';
  readonly user: string;
}

export interface VolumeInstruction extends Written {
  readonly kind: 'volume';
  readonly volumes: readonly string[];
}

export interface WorkdirInstruction extends Written {
  readonly kind: 'workdir';
  readonly path: string;
}

export type Instruction =
  | AddInstruction
  | ArgInstruction
  | CmdInstruction
  | CopyInstruction
  | EntrypointInstruction
  | EnvInstruction
  | ExposeInstruction
  | HealthcheckInstruction
  | LabelInstruction
  | MaintainerInstruction
  | OnbuildInstruction
  | RunInstruction
  | ShellInstruction
  | StopsignalInstruction
  | UserInstruction
  | VolumeInstruction
  | WorkdirInstruction;
