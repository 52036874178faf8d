// What a stage has become so far: its steps' state, its environment, its config and history. Instructions change it,
// in order; a stage that begins FROM it starts with a copy.

import { locate, type Place } from '../dockerfile/errors.ts';
import { type Escape, type Expansion, expand } from '../dockerfile/words.ts';
import type { ContainerConfig, HistoryEntry, ImageConfig, Platform } from '../oci/config.ts';
import type { StageChecks } from './checks.ts';
import { EnvList, envMap } from './env.ts';
import type { Operation, PlannedHistory, StepId } from './graph.ts';
import { cleanPath } from './paths.ts';
import type { PlanSize } from './plan-size.ts';
import type { PlannedInstruction } from './stages.ts';
import type { StepList } from './step-list.ts';
import type { StepNames } from './step-names.ts';

export type MutableConfig = { -readonly [Key in keyof ContainerConfig]: ContainerConfig[Key] };

export interface DeclaredArg {
  readonly name: string;
  readonly value: string | undefined;
}

/** Where a stage begins: an image, nothing, or another stage's end. */
export interface Start {
  readonly state: StepId | undefined;
  readonly config: ContainerConfig;
  readonly environment: ReadonlyMap<string, string>;
  readonly args: readonly DeclaredArg[];
  readonly history: readonly PlannedHistory[];
  readonly author: string | undefined;
  readonly platform: Platform;
  /** What the config says it is for: with no platform asked for, the result keeps it. */
  readonly imagePlatform: Platform;
  readonly hasWorkdir: boolean;
  readonly isBaseKnown: boolean;
}

export const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const historyComment = 'buildkit.dockerfile.v0';

export function startFromScratch(platform: Platform): Start {
  return {
    state: undefined,
    config: { Env: [`PATH=${defaultPath}`], WorkingDir: '/' },
    environment: new Map(),
    args: [],
    history: [],
    author: undefined,
    platform,
    imagePlatform: platform,
    hasWorkdir: false,
    isBaseKnown: true,
  };
}

export function startFromImage(state: StepId | undefined, image: ImageConfig, platform: Platform): Start {
  const { OnBuild: _, ...config } = image.config ?? {};
  const { os, architecture, variant } = image;
  return {
    state,
    config,
    environment: new Map(),
    args: [],
    history: baseHistory(image).map((entry) => ({ entry, step: undefined, isBase: true })),
    author: image.author,
    platform,
    imagePlatform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
    hasWorkdir: false,
    isBaseKnown: true,
  };
}

/**
 * A line for each layer, as many lines with a layer as there are: others do not always write it so (BuildKit: exporter/containerimage/writer.go,
 * normalizeLayersAndHistory, which puts the missing ones at the end).
 */
function baseHistory({ history = [], rootfs, created }: ImageConfig): HistoryEntry[] {
  const count = rootfs.diff_ids.length;
  let told = 0;
  const lines = history.map((entry) => (entry.empty_layer || told++ < count ? entry : { ...entry, empty_layer: true }));
  const missing = Array.from({ length: Math.max(0, count - told) }, () => ({
    ...(created !== undefined && { created }),
    created_by: 'created by buildkit',
    comment: 'buildkit.exporter.image.v0',
  }));
  return [...lines, ...missing];
}

export class StageState {
  state: StepId | undefined;
  author: string | undefined;
  readonly platform: Platform;
  readonly imagePlatform: Platform;
  readonly config: MutableConfig;
  /** ENV and ARG together, as RUN sees them; the later of the two wins. */
  readonly environment: Map<string, string>;
  readonly args: DeclaredArg[];
  readonly history: PlannedHistory[];
  /** A CMD of this stage itself survives a later ENTRYPOINT. */
  hasOwnCmd = false;
  readonly escapeToken: Escape;
  readonly checks: StageChecks;
  private readonly graph: StepList;
  private readonly names: StepNames;
  private readonly env: EnvList;

  constructor(start: Start, graph: StepList, names: StepNames, escapeToken: Escape, checks: StageChecks) {
    // A stage's triggers are those it says itself: what its base had has been carried out.
    const { OnBuild: _, ...config } = start.config;
    this.config = config;
    this.state = start.state;
    this.author = start.author;
    this.platform = start.platform;
    this.imagePlatform = start.imagePlatform;
    this.environment = new Map(start.environment);
    this.args = [...start.args];
    this.history = [...start.history];
    this.graph = graph;
    this.names = names;
    this.escapeToken = escapeToken;
    this.checks = checks;
    this.env = new EnvList(config.Env ?? []);
    this.size.addEntries(this.env.entries.length + this.environment.size + this.args.length + this.history.length);
    this.begin();
  }

  /** There is always a PATH, and an absolute working directory if any (BuildKit: convert.go, toDispatchState). */
  private begin(): void {
    if (!this.env.has('PATH') && this.imagePlatform.os !== 'windows') this.setEnv('PATH', defaultPath);
    // Even over an ARG that came later in the stage below: what a stage begins with is its base's config (dispatchStages).
    for (const [name, value] of envMap(this.config.Env ?? [])) this.environment.set(name, value);
    const { WorkingDir: workdir } = this.config;
    if (workdir !== undefined && workdir !== '' && !workdir.startsWith('/')) this.config.WorkingDir = cleanPath(workdir);
  }

  /** What all that the stages become adds up to. */
  get size(): PlanSize {
    return this.graph.size;
  }

  /** In the config: what containers get, and stages that begin from this one. */
  setEnv(name: string, value: string): void {
    this.env.set(name, value);
    this.config.Env = this.env.entries;
  }

  get workdir(): string {
    return cleanPath(this.config.WorkingDir ?? '/');
  }

  get user(): string {
    return this.config.User ?? '';
  }

  /** SHELL said which, here or below. */
  get hasOwnShell(): boolean {
    return (this.config.Shell?.length ?? 0) > 0;
  }

  /** The default shell is the image's system's. */
  get shell(): readonly string[] {
    if (this.hasOwnShell) return this.config.Shell!;
    return this.imagePlatform.os === 'windows' ? ['cmd', '/S', '/C'] : ['/bin/sh', '-c'];
  }

  /** `place`: where the word stands; without one, what calls has it. */
  expand(word: string, place?: Place): string {
    const process = () => this.checked(expand(word, this.environment, { escapeToken: this.escapeToken }));
    return place === undefined ? process() : locate(place, process);
  }

  /** The value of an expansion in this stage's environment. */
  checked({ value, unmatched }: Expansion): string {
    this.checks.variables(unmatched, this.environment);
    this.size.addText(value);
    return value;
  }

  /** The instruction as it is shown: variables expanded where that works. */
  describe(original: string): string {
    try {
      return upperKeyword(expand(original, this.environment, { escapeToken: this.escapeToken }).value);
    } catch {
      return upperKeyword(original);
    }
  }

  /** A step on top of what there is. */
  addStep(planned: PlannedInstruction, description: string, op: Operation): StepId {
    this.state = this.graph.add({
      name: this.names.next(planned.isTrigger, this.platform, this.environment) + description,
      stage: this.names.stage,
      where: planned.instruction.where,
      parent: this.state,
      op,
    });
    return this.state;
  }

  /** `step` undefined: the instruction made no layer. */
  addHistory(createdBy: string, step?: StepId): void {
    const entry = {
      created_by: createdBy,
      comment: historyComment,
      ...(step === undefined ? { empty_layer: true } : {}),
    };
    this.history.push({ entry, step });
  }

  /** For a stage that begins FROM this one. */
  toStart(): Start {
    const { state, config, environment, args, history, author, platform, imagePlatform } = this;
    const { hasWorkdir, isBaseKnown } = this.checks;
    return { state, config, environment, args, history, author, platform, imagePlatform, hasWorkdir, isBaseKnown };
  }
}

export function upperKeyword(text: string): string {
  return text.replace(/^[^ ]*/, (keyword) => keyword.toUpperCase());
}
