// The contexts of `--build-context`: what planning is told of them, and what steps get when they ask. One that nothing uses is never opened.

import { assert, TbuildError } from '../base/errors.ts';
import { contextName, type NamedSource, readNamedContext } from '../context/named.ts';
import type { NamedContext, NamedContexts } from '../plan/plan.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { ContextResult } from '../steps/step.ts';
import { openDirectory } from './directory-context.ts';
import { layoutReference } from './layout-images.ts';

export interface Named {
  readonly planned: NamedContexts;
  open(workplace: Workplace, name: string): Promise<ContextResult>;
}

/** Throws for what is no context, used or not, as buildx does. `values` by name, as written. */
export function readNamedContexts(values: Readonly<Record<string, string>>, remember: boolean): Named {
  const sources = new Map<string, NamedSource>();
  for (const [written, value] of Object.entries(values)) {
    const name = contextName(written);
    sources.set(name, readNamedContext(name, value));
  }
  return {
    planned: Object.fromEntries([...sources].map(([name, source]) => [name, planned(source)])),
    open: (workplace, name) => {
      const source = sources.get(name);
      assert(source?.kind === 'directory', `the context ${name} is asked for as a directory`);
      return openDirectory(workplace, source.path, { dockerfile: undefined, ignore: true, remember });
    },
  };
}

function planned(source: NamedSource): NamedContext {
  switch (source.kind) {
    case 'directory':
      return { kind: 'directory' };
    case 'image':
      return source;
    case 'layout':
      return { kind: 'image', reference: layoutReference(source) };
    default:
      throw new TbuildError('unsupported/context', `${source.url}: a build context from ${source.kind} is not supported yet`);
  }
}
