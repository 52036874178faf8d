// The contexts of `--build-context`: what planning is told of them, and what steps get when they ask. One that nothing uses is never opened.

import { assert } from '../../base/errors.ts';
import { readIgnore } from '../../context/directory.ts';
import { contextName, type NamedSource, readNamedContext } from '../../context/named.ts';
import { redactUrl } from '../../http/url.ts';
import type { Pins } from '../../plan/pins.ts';
import type { NamedContext, NamedContexts } from '../../plan/plan.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import type { RemoteSettings } from '../../steps/remote.ts';
import type { ContextResult } from '../../steps/step.ts';
import { type DirectoryOptions, openDirectory } from './directory.ts';
import { layoutReference } from './layout-images.ts';
import { operationOf } from './remote-operation.ts';

export interface Named {
  readonly planned: NamedContexts;
  open(workplace: Workplace, settings: RemoteSettings, name: string, pins?: Pins): Promise<ContextResult>;
}

/** Throws for what is no context, used or not, as buildx does. `values` by name, as written. */
export function readNamedContexts(
  values: Readonly<Record<string, string>>,
  how: Pick<DirectoryOptions, 'modes'>,
  signal: AbortSignal,
): Named {
  const sources = new Map<string, NamedSource>();
  for (const [written, value] of Object.entries(values)) {
    const name = contextName(written);
    sources.set(name, readNamedContext(name, value));
  }
  return {
    planned: Object.fromEntries([...sources].map(([name, source]) => [name, planned(name, source)])),
    open: async (workplace, settings, name, pins) => {
      const source = sources.get(name);
      if (source?.kind === 'directory') {
        const rules = () => readIgnore(source.path, undefined);
        return openDirectory(workplace, source.path, { ...how, rules, remember: !settings.fresh });
      }
      assert(source?.kind === 'git' || source?.kind === 'http', `the context ${name} is asked for as a directory`);
      const operation = operationOf(source, false);
      const { openNamedRemote } = await import('./remote.ts');
      return openNamedRemote(workplace, settings, pins?.remote(operation) ?? operation, signal);
    },
  };
}

function planned(name: string, source: NamedSource): NamedContext {
  switch (source.kind) {
    case 'directory':
      return { kind: 'directory' };
    case 'image':
      return source;
    case 'layout':
      return { kind: 'image', reference: layoutReference(source) };
    case 'git':
      return {
        kind: 'directory',
        shown: `[internal] load git source ${redactUrl(source.url)}`,
        remote: operationOf(source, false),
      };
    case 'http':
      return { kind: 'directory', shown: `[context ${name}] ${redactUrl(source.url)}`, remote: operationOf(source, false) };
  }
}
