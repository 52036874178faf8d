// The build's contexts and its Dockerfile, as steps and the parser ask for them. What the arguments name is decided before a store is opened;
// whatever is no directory has a file of its own, loaded when it is needed.

import { TbuildError } from '../base/errors.ts';
import { type ContextArgument, readContextArgument } from '../context/argument.ts';
import { readIgnore } from '../context/directory.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { ContextOptions, Contexts, MainContext } from './context-options.ts';
import { openDirectory } from './directory-context.ts';
import { readDockerfile } from './dockerfile-source.ts';
import type { Named } from './named-contexts.ts';

/** Throws at once for what is no context, and for a Dockerfile that is not in its directory. */
export async function findContexts(options: ContextOptions): Promise<(workplace: Workplace) => Promise<Contexts>> {
  const openMain = findMain(readContextArgument(options.context), options);
  const named = await findNamed(options);
  return async (workplace) => {
    const main = await openMain(workplace);
    const open = (name: string) => (name === '' ? main.open() : (named as Named).open(workplace, name));
    return { ...main, named: named?.planned ?? {}, open };
  };
}

async function findNamed({ buildContexts, noCache }: ContextOptions): Promise<Named | undefined> {
  if (buildContexts === undefined || Object.keys(buildContexts).length === 0) return undefined;
  return (await import('./named-contexts.ts')).readNamedContexts(buildContexts, !noCache);
}

function findMain(argument: ContextArgument, options: ContextOptions): (workplace: Workplace) => Promise<MainContext> {
  switch (argument.kind) {
    case 'directory': {
      const dockerfile = readDockerfile(argument.path, options.dockerfile);
      const how = { dockerfile: dockerfile.path, ignore: true, remember: !options.noCache };
      const ignored = once(() => readIgnore(argument.path, dockerfile.path));
      return async (workplace) => ({ dockerfile, ignored, open: () => openDirectory(workplace, argument.path, how) });
    }
    case 'file':
      return async (workplace) => (await import('./input-context.ts')).openInput(workplace, argument.path, options);
    case 'stdin':
      return async (workplace) => (await import('./input-context.ts')).openInput(workplace, undefined, options);
    default:
      throw new TbuildError(
        'unsupported/context',
        `${options.context}: a build context from ${argument.kind} is not supported yet`,
      );
  }
}

function once<T>(act: () => T): () => T {
  let result: { readonly value: T } | undefined;
  return () => {
    result ??= { value: act() };
    return result.value;
  };
}
