// How an image was built, as an SLSA provenance v1 predicate in BuildKit's form (its docs/attestations/slsa-definitions.md; solver/llbsolver/provenance).
// Pure: all that it says is given to it.

import { canonicalJson, sha256 } from '../../base/digest.ts';
import type { Predicate } from '../../images/attestations.ts';
import type { Step } from '../../plan/graph.ts';
import type { Material } from '../../steps/step.ts';
import type { ProvenanceOptions } from './options.ts';

export const PROVENANCE_TYPE = 'https://slsa.dev/provenance/v1';
const BUILD_TYPE = 'https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md';

/** What a build for one platform was told and what it took. */
export interface BuildFacts {
  readonly dockerfile: string;
  /** A context or a Dockerfile that came by URL. */
  readonly config: Material | undefined;
  /** As BuildKit names them: `build-arg:NAME`, `label:NAME`, `target` … */
  readonly args: Readonly<Record<string, string>>;
  readonly locals: readonly string[];
  readonly materials: readonly Material[];
  readonly steps: readonly Step[];
  readonly builderPlatform: string;
  /** A step could use the network. */
  readonly isOnline: boolean;
  /** Said with `max` alone. */
  readonly detail: { readonly definition: readonly object[]; readonly source: object; readonly layers: object } | undefined;
}

export interface BuildTimes {
  readonly startedOn: string;
  readonly finishedOn: string;
}

/** Everything but who built it and when. */
export function buildDefinition(facts: BuildFacts, { mode }: ProvenanceOptions): object {
  const { config, dockerfile, locals, materials, builderPlatform, detail } = facts;
  const request = {
    frontend: 'dockerfile.v0',
    args: mode === 'max' ? facts.args : publicArgs(facts.args),
    ...(mode === 'max' && { ...idsOf('secrets', 'secret', facts.steps), ...idsOf('ssh', 'ssh', facts.steps) }),
    ...(locals.length > 0 && { locals: locals.map((name) => ({ name })) }),
  };
  return {
    buildType: BUILD_TYPE,
    externalParameters: { configSource: { ...config, path: dockerfile }, request },
    internalParameters: { builderPlatform, ...(detail && { buildConfig: { llbDefinition: detail.definition } }) },
    ...(materials.length > 0 && { resolvedDependencies: materials }),
  };
}

export function provenance(facts: BuildFacts, options: ProvenanceOptions, invocationId: string, times: BuildTimes): Predicate {
  const { steps, locals, args, detail, isOnline } = facts;
  const isComplete = locals.length === 0;
  const hidden = options.mode === 'min' && (Object.keys(publicArgs(args)).length < Object.keys(args).length || hasSecrets(steps));
  const metadata = {
    invocationId,
    ...times,
    buildkit_metadata: detail ? { source: detail.source, layers: detail.layers } : {},
    ...(isComplete && !isOnline && { buildkit_hermetic: true }),
    buildkit_completeness: { request: !hidden, resolvedDependencies: isComplete },
    ...(options.isReproducible && { buildkit_reproducible: true }),
  };
  const content = {
    buildDefinition: buildDefinition(facts, options),
    runDetails: { builder: { id: options.builderId ?? '' }, metadata },
  };
  return { type: PROVENANCE_TYPE, content };
}

/** Those that tell nothing which somebody may want to keep for himself. */
function publicArgs(args: BuildFacts['args']): Record<string, string> {
  return Object.fromEntries(Object.entries(args).filter(([name]) => !/^(?:build-arg|label):/.test(name)));
}

interface Asked {
  readonly id: string;
  readonly optional?: true;
}

function askedFor(type: 'secret' | 'ssh', steps: readonly Step[]): Asked[] {
  const asked = new Map<string, boolean>();
  for (const { op } of steps) {
    for (const mount of op.kind === 'run' ? op.mounts : [])
      if (mount.type === type) asked.set(mount.id, mount.required || asked.get(mount.id) === true);
  }
  const sorted = [...asked].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([id, isRequired]) => ({ id, ...(!isRequired && { optional: true }) }));
}

function idsOf(name: string, type: 'secret' | 'ssh', steps: readonly Step[]): object {
  const asked = askedFor(type, steps);
  return asked.length > 0 ? { [name]: asked } : {};
}

const hasSecrets = (steps: readonly Step[]): boolean => askedFor('secret', steps).length + askedFor('ssh', steps).length > 0;

/** 25 letters and digits, as BuildKit's, made of what tells one invocation from another. */
export function invocationIdOf(what: unknown): string {
  const hex = sha256(canonicalJson(what)).slice('sha256:'.length);
  return BigInt(`0x${hex}`).toString(36).padStart(25, '0').slice(0, 25);
}
