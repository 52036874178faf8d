// The build's contexts and its Dockerfile, as steps and the parser ask for them. What the context argument names is decided before a store is opened;
// whatever is no directory has a file of its own, loaded when it is needed.

import { TbuildError } from '../base/errors.ts';
import { readContextArgument } from '../context/argument.ts';
import { readIgnore } from '../context/directory.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { ContextOptions, Contexts } from './context-options.ts';
import { openDirectory } from './directory-context.ts';
import { readDockerfile } from './dockerfile-source.ts';

/** Throws at once for what is no context, and for a Dockerfile that is not in its directory. */
export function findContexts(options: ContextOptions): (workplace: Workplace) => Promise<Contexts> {
  const argument = readContextArgument(options.context);
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
