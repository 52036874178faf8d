// From a Dockerfile's text to the steps of a build: what its lock and SOURCE_DATE_EPOCH say of it comes first. What few builds have is loaded by those.

import type { Checks } from '../dockerfile/checks.ts';
import { checkFrontend } from '../dockerfile/frontend.ts';
import type { Dockerfile } from '../dockerfile/instructions.ts';
import { parseDockerfile } from '../dockerfile/parse.ts';
import { type BuildArgs, givenArg } from '../plan/global-scope.ts';
import type { BaseImages, Plan } from '../plan/graph.ts';
import type { PlanOptions } from '../plan/plan.ts';
import type { Hold, HoldOptions } from './lock/hold.ts';
import { planPlatforms, type Wanted } from './platforms.ts';
import type { EpochOptions, EpochSources } from './source-date-epoch.ts';

export type PlanningOptions = EpochOptions & HoldOptions & Pick<PlanOptions, 'target'>;

export interface PlannedBuild {
  readonly graph: Plan;
  /** SOURCE_DATE_EPOCH, in seconds. */
  readonly epoch: number | undefined;
  /** Undefined: there is no lock, and none is insisted on. */
  readonly hold: Hold | undefined;
  /** What the lock says nothing of, as people write it. */
  readonly unlocked: readonly string[];
}

/** What was found before an error is in `checks`. */
export async function planBuild(
  options: PlanningOptions,
  wanted: Wanted,
  sources: EpochSources,
  bases: BaseImages,
  checks: Checks,
): Promise<PlannedBuild> {
  const { dockerfile, named, ignored, files } = sources.contexts;
  checkFrontend(dockerfile.bytes, dockerfile.name, givenArg(options.buildArgs, 'BUILDKIT_SYNTAX'));
  const parsed = parseDockerfile(dockerfile.bytes, dockerfile.name, checks);
  const isHeld = dockerfile.lock !== undefined || options.frozen === true;
  const hold = isHeld ? (await import('./lock/hold.ts')).holdToLock(dockerfile, parsed, options) : undefined;
  const pins = hold?.pins;
  const isDated = options.reproducible || namesEpoch(parsed, options.buildArgs);
  const settled = isDated
    ? await (await import('./source-date-epoch.ts')).settleEpoch(parsed, { ...options, pins }, sources)
    : undefined;
  const buildArgs = settled?.buildArgs ?? options.buildArgs;
  const planOptions = { ...options, buildArgs, contexts: named, pins, checks, ignored, contextFiles: files };
  const graph = await planPlatforms(parsed, wanted, planOptions, hold?.bases(bases) ?? bases);
  return { graph, epoch: settled?.epoch, hold, unlocked: hold?.unlockedOf(graph.steps, named) ?? [] };
}

/** Looked for without loading what reads it: few builds have one. */
function namesEpoch({ globalArgs }: Dockerfile, buildArgs: BuildArgs): boolean {
  const name = 'SOURCE_DATE_EPOCH';
  return givenArg(buildArgs, name) !== undefined || globalArgs.some(({ args }) => args.some((arg) => arg.name === name));
}
