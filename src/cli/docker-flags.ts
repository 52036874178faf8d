// Flags that scripts for docker build and buildx bring along and that mean nothing here, or not yet. The former are taken, with a line where
// somebody might count on them; the latter are refused with a way out, unless what they ask for is what happens anyway.

import { TbuildError } from '../base/errors.ts';
import type { BuildOutput } from '../build/outputs/export.ts';
import type { FlagTable, FlagValues } from './flags.ts';

export const dockerFlags = {
  builder: { value: 'string', hidden: true, help: 'Override the configured builder instance (there is only "default")' },
  compress: { hidden: true, help: 'Compress the build context (nothing is sent)' },
  'cpu-period': { value: 'int', hidden: true, help: 'Limit the CPU CFS period' },
  'cpu-quota': { value: 'int', hidden: true, help: 'Limit the CPU CFS quota' },
  'cpu-shares': { short: 'c', value: 'int', hidden: true, help: 'CPU shares' },
  'cpuset-cpus': { value: 'string', hidden: true, help: 'CPUs in which to allow execution' },
  'cpuset-mems': { value: 'string', hidden: true, help: 'MEMs in which to allow execution' },
  'force-rm': { hidden: true, help: 'Always remove intermediate containers (they always are)' },
  isolation: { value: 'string', hidden: true, help: 'Container isolation technology' },
  memory: { short: 'm', value: 'bytes', hidden: true, help: 'Memory limit' },
  'memory-swap': { value: 'bytes', hidden: true, help: 'Limit of memory and swap' },
  policy: { value: 'stringArray', repeated: true, hidden: true, help: 'Source policy (not yet)' },
  rm: { hidden: true, help: 'Remove intermediate containers (they always are)' },
  'security-opt': { value: 'list', repeated: true, hidden: true, help: 'Security options' },
  squash: { hidden: true, help: 'Squash the layers into one' },
} as const satisfies FlagTable;

type DockerFlags = FlagValues<typeof dockerFlags> & { readonly annotation: readonly string[] };

/** Throws for what is wanted and not there; returns a line for each flag that has no effect although somebody might count on it. */
export function readDockerFlags(flags: DockerFlags, outputs: readonly BuildOutput[]): string[] {
  refuse(flags);
  const isAnnotated = outputs.some(
    (output) => output.type === 'oci' || output.type === 'docker' || ('push' in output && output.push),
  );
  const given = (name: keyof DockerFlags) =>
    flags[name] !== undefined && flags[name] !== false && String(flags[name]) !== '' && !(name === 'annotation' && isAnnotated);
  return Object.entries(withoutEffect).flatMap(([name, why]) =>
    given(name as keyof DockerFlags) ? [`--${name} has no effect: ${why}`] : [],
  );
}

const unlimited = 'BuildKit has none for it; --resource limits what RUN takes';

/** BuildKit ignores them too, the resource limits without a word. */
const withoutEffect = {
  annotation: 'manifests carry it, and only an output of type oci, docker or registry writes one',
  'cpu-period': unlimited,
  'cpu-quota': unlimited,
  'cpu-shares': unlimited,
  'cpuset-cpus': unlimited,
  'cpuset-mems': unlimited,
  isolation: 'there is one kind',
  memory: unlimited,
  'memory-swap': unlimited,
  'security-opt': 'RUN --security=insecure, with --allow security.insecure, is for that',
  squash: 'a last stage that copies what is wanted has the layers that it says',
} as const;

function refuse(flags: DockerFlags): void {
  if (flags.builder !== undefined && flags.builder !== '' && flags.builder !== 'default') {
    throw new TbuildError('unsupported/builder', `no builder "${flags.builder}" found: tbuild builds in its own process`, {
      hint: 'leave --builder out',
    });
  }
  if (flags.policy.some((text) => text !== 'disabled' && text !== 'disabled=true'))
    throw new TbuildError('unsupported/policy', '--policy is not supported yet');
}
