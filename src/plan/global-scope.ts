// What FROM can refer to: the platform arguments, and ARG before the first FROM (BuildKit: dockerfile2llb/convert.go,
// defaultArgs and buildMetaArgs). A stage sees these only through an ARG of its own.

import { locate, type Span, within } from '../dockerfile/errors.ts';
import type { Dockerfile } from '../dockerfile/instructions.ts';
import { type Environment, processWord } from '../dockerfile/words.ts';
import type { Platform } from '../oci/config.ts';
import { formatPlatform } from '../oci/platform.ts';

/** These are answered by the builder and never reach the environment (BuildKit: nonEnvArgs). */
export const builderArgs: ReadonlySet<string> = new Set(['BUILDKIT_SBOM_SCAN_CONTEXT', 'BUILDKIT_SBOM_SCAN_STAGE']);

export type BuildArgs = Readonly<Record<string, string>>;

/** A build argument that was given; `toString` and its like are names as any other. */
export function givenArg(buildArgs: BuildArgs, name: string): string | undefined {
  return Object.hasOwn(buildArgs, name) ? buildArgs[name] : undefined;
}

export interface ScopeOptions {
  readonly buildArgs: BuildArgs;
  readonly target: string;
  readonly platform: Platform;
  readonly buildPlatform: Platform;
}

export function readGlobalScope(dockerfile: Dockerfile, options: ScopeOptions): Environment {
  const scope = new Map<string, string>();
  const predefined = [
    ...platformArgs('BUILD', options.buildPlatform),
    ...platformArgs('TARGET', options.platform),
    ['TARGETSTAGE', options.target === '' ? 'default' : options.target] as const,
  ];
  for (const [name, value] of predefined) scope.set(name, givenArg(options.buildArgs, name) ?? value);
  for (const { args, places } of dockerfile.globalArgs) {
    for (const [i, { name, value }] of args.entries()) {
      const given = givenArg(options.buildArgs, name);
      if (given !== undefined) scope.set(name, given);
      else if (value !== undefined) {
        const expanded = () => processWord(value, scope, dockerfile.escapeToken);
        scope.set(
          name,
          locate(places.argument(i), () => within(argValue(name), expanded)),
        );
      }
    }
  }
  return scope;
}

/** Where in `NAME=value` the value begins; what goes wrong in it says how far. */
export const argValue = (name: string): Span => ({ start: name.length + 1, end: name.length + 1 });

/** The scope as if no ARG of the file had been given a value; `scope`: with what was given. */
export function readDefaultScope(dockerfile: Dockerfile, options: ScopeOptions, scope: Environment): Environment {
  const declared = new Set(dockerfile.globalArgs.flatMap(({ args }) => args.map(({ name }) => name)));
  if (Object.keys(options.buildArgs).every((name) => !declared.has(name))) return scope;
  const buildArgs = Object.fromEntries(Object.entries(options.buildArgs).filter(([name]) => !declared.has(name)));
  return readGlobalScope(dockerfile, { ...options, buildArgs });
}

function platformArgs(prefix: 'BUILD' | 'TARGET', platform: Platform): (readonly [string, string])[] {
  return [
    [`${prefix}PLATFORM`, formatPlatform(platform)],
    [`${prefix}OS`, platform.os],
    [`${prefix}OSVERSION`, platform['os.version'] ?? ''],
    [`${prefix}ARCH`, platform.architecture],
    [`${prefix}VARIANT`, platform.variant ?? ''],
  ];
}
