// `--change` of import: Dockerfile instructions that change nothing but a config. They are planned as the only stage of a Dockerfile is, and only what
// the config became is taken from the plan; nothing is executed.

import { TbuildError } from '../base/errors.ts';
import type { Instruction } from '../dockerfile/instructions.ts';
import { parseDockerfile } from '../dockerfile/parse.ts';
import type { ContainerConfig, Platform } from '../oci/config.ts';
import { planBuild } from '../plan/plan.ts';

/** docker's builder/dockerfile/builder.go, validCommitCommands; STOPSIGNAL is among them in its documentation. */
const allowed: readonly Instruction['kind'][] = [
  'cmd',
  'entrypoint',
  'env',
  'expose',
  'healthcheck',
  'label',
  'onbuild',
  'stopsignal',
  'user',
  'volume',
  'workdir',
];

/** The config that begins empty. Throws `usage/bad-change`, and what a Dockerfile's mistakes throw. */
export function configFromChanges(changes: readonly string[], platform: Platform): Promise<ContainerConfig> {
  return changedConfig({}, changes, platform);
}

/** Throws as `configFromChanges`. */
export async function changedConfig(
  before: ContainerConfig,
  changes: readonly string[],
  platform: Platform,
): Promise<ContainerConfig> {
  if (changes.length === 0) return before;
  const dockerfile = parseDockerfile(`FROM before\n${changes.join('\n')}\n`, '--change');
  const [stage, ...others] = dockerfile.stages;
  if (!stage || others.length > 0) throw notAllowed('FROM');
  const kinds = stage.instructions.map(({ kind }) => kind);
  const stranger = kinds.find((kind) => !allowed.includes(kind));
  if (stranger) throw notAllowed(stranger.toUpperCase());
  const options = { buildArgs: {}, buildPlatform: platform, platform, labels: {}, contexts: {} };
  // What is to be done on top of it is not to be done now.
  const { OnBuild: triggers = [], ...config } = before;
  const base = { ...platform, config, rootfs: { type: 'layers', diff_ids: [] } } as const;
  const { target } = await planBuild(dockerfile, options, { config: async () => base });
  const changed = withoutDefaults(target.config, stage.instructions, before);
  const all = [...triggers, ...(changed.OnBuild ?? [])];
  return { ...changed, ...(all.length > 0 && { OnBuild: all }) };
}

function notAllowed(keyword: string): TbuildError {
  return new TbuildError('usage/bad-change', `${keyword} is not a valid change command`, {
    hint: `a change is one of ${allowed.join(', ').toUpperCase()}`,
  });
}

/** A stage begins with a PATH and a working directory, and marks its CMD for Windows; here is what was there or was said, and no more. */
function withoutDefaults(
  config: ContainerConfig,
  instructions: readonly Instruction[],
  before: ContainerConfig,
): ContainerConfig {
  const { ArgsEscaped: _, WorkingDir: workdir, Env: env = [], ...rest } = config;
  const isPath = (variable: string) => variable.startsWith('PATH=');
  const saysPath = instructions.some((each) => each.kind === 'env' && each.pairs.some(({ name }) => name === 'PATH'));
  const said = env.filter((variable) => saysPath || before.Env?.some(isPath) || !isPath(variable));
  const saysWorkdir = before.WorkingDir !== undefined || instructions.some(({ kind }) => kind === 'workdir');
  return {
    ...rest,
    ...(said.length > 0 && { Env: said }),
    ...(saysWorkdir && workdir !== undefined && { WorkingDir: workdir }),
  };
}
