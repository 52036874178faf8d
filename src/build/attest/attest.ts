// `--provenance` and `--sbom`: what is said of each image that a build made. Said when all is built, so that no step's key knows of it; loaded only when
// it is asked for. Which manifest it is said of is not known here: how the image is compressed decides that.

import { randomBytes } from 'node:crypto';
import { encodeStatement, makeAttestation } from '../../images/attestations.ts';
import type { Attest } from '../../images/keep-index.ts';
import { formatPlatform, hostPlatform } from '../../oci/platform.ts';
import type { BuiltImage, Said } from '../outputs/built-image.ts';
import type { AttestedBuild } from './attested-build.ts';
import { findSources, imageUrl } from './materials.ts';
import type { AttestOptions } from './options.ts';
import { type BuildFacts, buildDefinition, invocationIdOf, provenance } from './provenance.ts';
import { argsOf, dockerfileName } from './request.ts';
import { sbomsOf } from './sboms.ts';
import { describeLayers, describeSource, describeSteps, stepsOf } from './steps.ts';

/** The images with what is said of them; `notes`: what could not be found out, a line each. */
export async function attestImages(
  build: AttestedBuild,
  asked: AttestOptions,
): Promise<{ readonly built: readonly BuiltImage[]; readonly notes: readonly string[] }> {
  const notes: string[] = [];
  const provenances = asked.provenance ? await provenancesOf(build, asked.provenance) : [];
  const built: BuiltImage[] = [];
  for (const [position, each] of build.built.entries()) {
    const sboms = asked.sbom ? await sbomsOf(build, position, asked.sbom, notes) : [];
    const provenance = provenances[position];
    built.push({ ...each, said: provenance ? [provenance, ...sboms] : sboms });
  }
  return { built, notes: [...new Set(notes)] };
}

/** As the index takes it: statements of the image, under each of its names. */
export function attester(built: readonly BuiltImage[], names: readonly string[]): Attest {
  return ({ image, platform }, manifest) => {
    const said = built.find((each) => each.image.id === image.id && each.platform === platform)?.said ?? [];
    if (said.length === 0) return undefined;
    const called = names.length === 0 ? ['_'] : names.map((name) => imageUrl(name, platform));
    const subjects = [...new Set(called)].map((name) => ({ name, digest: manifest }));
    return makeAttestation(
      manifest,
      said.map(({ predicate }) => ({ type: predicate.type, bytes: encodeStatement(subjects, predicate) })),
    );
  };
}

async function provenancesOf(build: AttestedBuild, asked: NonNullable<AttestOptions['provenance']>): Promise<Said[]> {
  const { options, plan, built, startedAt } = build;
  const epoch = built[0]?.epoch;
  const how = { ...asked, isReproducible: asked.isReproducible || options.reproducible === true };
  const facts = await Promise.all(plan.targets.map((_, position) => factsOf(build, position, asked.mode === 'max')));
  // With a time that is given, nothing is of now: the same build says the same again.
  const isFixed = epoch !== undefined;
  const timeOf = (ms: number) => new Date(isFixed ? epoch * 1000 : ms).toISOString();
  const times = { startedOn: timeOf(startedAt), finishedOn: timeOf(Date.now()) };
  const id = invocationIdOf(isFixed ? facts.map((each) => buildDefinition(each, how)) : randomBytes(32).toString('hex'));
  return facts.map((each) => ({
    predicate: provenance(each, how, id, times),
    filename: asked.filename ?? 'provenance.json',
    isInlineOnly: asked.isInlineOnly === true,
  }));
}

async function factsOf(build: AttestedBuild, position: number, isDetailed: boolean): Promise<BuildFacts> {
  const { options, workplace, contexts, plan, solved, built, imageOf } = build;
  const target = plan.targets[position]!;
  const steps = stepsOf(target, plan.steps);
  const { materials, locals } = await findSources(steps, solved, imageOf);
  const { material: config, dockerfile } = contexts;
  const isDockerfileHere = config === undefined || dockerfile.path !== undefined;
  const isListed = config === undefined || materials.some(({ uri }) => uri === config.uri);
  return {
    dockerfile: dockerfileName(options),
    config,
    args: argsOf(options),
    locals: isDockerfileHere ? [...locals, 'dockerfile'] : locals,
    materials: isListed ? materials : [...materials, config],
    steps,
    builderPlatform: formatPlatform(hostPlatform()),
    isOnline: steps.some(({ op }) => op.kind === 'run' && (op.network === 'default' ? options.network : op.network) !== 'none'),
    detail: isDetailed
      ? {
          definition: describeSteps(steps),
          source: describeSource(steps, dockerfileName(options), dockerfile.bytes),
          layers: await describeLayers(target, steps, plan.steps, solved, built[position]!.state, workplace.layers),
        }
      : undefined,
  };
}
