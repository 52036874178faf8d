// What a build is for: one platform or several, and whether an index comes of it (BuildKit: dockerui/config.go). Plans it for all of them.

import { TbuildError } from '../base/errors.ts';
import { parseBool } from '../base/parse-bool.ts';
import type { Dockerfile } from '../dockerfile/instructions.ts';
import type { Platform } from '../oci/config.ts';
import { hostPlatform } from '../oci/platform.ts';
import type { BaseImages, Plan } from '../plan/graph.ts';
import { type PlanOptions, planBuild } from '../plan/plan.ts';

export interface Wanted {
  /** Empty: none was asked for. */
  readonly platforms: readonly Platform[];
  readonly isIndex: boolean;
}

export function wantedPlatforms(platforms: readonly Platform[], buildArgs: Readonly<Record<string, string>>): Wanted {
  const asked = buildArgs.BUILDKIT_MULTI_PLATFORM;
  const isIndex = asked ? readMultiPlatform(asked) : platforms.length > 1;
  if (isIndex || platforms.length <= 1) return { platforms, isIndex };
  throw new TbuildError('usage/conflict', 'conflicting config: returning multiple target platforms is not allowed', {
    hint: `BUILDKIT_MULTI_PLATFORM=${asked} goes with one --platform`,
  });
}

function readMultiPlatform(text: string): boolean {
  const value = parseBool(text);
  if (value !== undefined) return value;
  throw new TbuildError('usage/bad-value', `invalid boolean value for multi-platform: ${text}`, {
    hint: '--build-arg BUILDKIT_MULTI_PLATFORM is true or false',
  });
}

export async function planPlatforms(
  dockerfile: Dockerfile,
  { platforms, isIndex }: Wanted,
  options: Omit<PlanOptions, 'platform' | 'buildPlatform' | 'showsPlatform'>,
  bases: BaseImages,
): Promise<Plan> {
  const common = { ...options, buildPlatform: hostPlatform(), showsPlatform: isIndex };
  if (platforms.length <= 1) {
    const { steps, target } = await planBuild(dockerfile, { ...common, platform: platforms[0] }, bases);
    return { steps, targets: [target] };
  }
  const graphs = [];
  for (const [position, platform] of platforms.entries()) {
    // What is found for one is found for all: only the first tells.
    const checks = position === 0 ? common.checks : undefined;
    graphs.push(await planBuild(dockerfile, { ...common, checks, platform }, bases));
  }
  const { joinGraphs } = await import('../plan/several-platforms.ts');
  return joinGraphs(graphs);
}
