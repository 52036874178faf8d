// What FROM can refer to: the platform arguments, and ARG before the first FROM (BuildKit: dockerfile2llb/convert.go,
// defaultArgs and buildMetaArgs). A stage sees these only through an ARG of its own.

import { locate } from '../dockerfile/errors.ts';
import type { Dockerfile } from '../dockerfile/instructions.ts';
import { type Environment, processWord } from '../dockerfile/words.ts';
import type { Platform } from '../oci/config.ts';
import { formatPlatform } from '../oci/platform.ts';

export type BuildArgs = Readonly<Record<string, string>>;

/** A build argument that was given; `toString` and its like are names as any other. */
export function givenArg(buildArgs: BuildArgs, name: string): string | undefined {
  return Object.hasOwn(buildArgs, name) ? buildArgs[name] : undefined;
}

export function readGlobalScope(
  dockerfile: Dockerfile,
  options: {
    readonly buildArgs: BuildArgs;
    readonly target: string;
    readonly platform: Platform;
    readonly buildPlatform: Platform;
  },
): Environment {
  const scope = new Map<string, string>();
  const predefined = [
    ...platformArgs('BUILD', options.buildPlatform),
    ...platformArgs('TARGET', options.platform),
    ['TARGETSTAGE', options.target === '' ? 'default' : options.target] as const,
  ];
  for (const [name, value] of predefined) scope.set(name, givenArg(options.buildArgs, name) ?? value);
  for (const { args, where } of dockerfile.globalArgs) {
    for (const { name, value } of args) {
      const given = givenArg(options.buildArgs, name);
      if (given !== undefined) scope.set(name, given);
      else if (value !== undefined)
        scope.set(
          name,
          locate(where, () => processWord(value, scope, dockerfile.escapeToken)),
        );
    }
  }
  return scope;
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
