// The build's contexts and its Dockerfile, as steps and the parser ask for them. What the arguments name is decided before a store is opened;
// whatever is no directory has a file of its own, loaded when it is needed.

import { type ContextArgument, readContextArgument } from '../../context/argument.ts';
import { listContext, readIgnore } from '../../context/directory.ts';
import { redactUrl } from '../../http/url.ts';
import type { Pins } from '../../plan/pins.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import type { RemoteSettings } from '../../steps/remote.ts';
import { readDockerfile } from '../dockerfile-source.ts';
import { type DirectoryOptions, openDirectory } from './directory.ts';
import type { Named } from './named.ts';
import type { ContextOptions, Contexts, MainContext } from './options.ts';

/** Throws at once for what is no context, and for a Dockerfile that is not in its directory. */
export async function findContexts(options: ContextOptions): Promise<OpenContexts> {
  const argument = readContextArgument(options.context);
  const openMain = isRemoteDockerfile(options) ? withRemoteDockerfile(argument, options) : findMain(argument, options);
  const named = await findNamed(options);
  return async (workplace, settings) => {
    const main = await openMain(workplace, settings);
    const open = (name: string, pins?: Pins) =>
      name === '' ? main.open() : (named as Named).open(workplace, settings, name, pins);
    return { ...main, named: named?.planned ?? {}, open };
  };
}

type Opener<T> = (workplace: Workplace, settings: RemoteSettings) => Promise<T>;
export type OpenContexts = Opener<Contexts>;

/** Those of --build-context; undefined: there are none. */
export async function findNamed(
  options: Pick<ContextOptions, 'buildContexts' | 'contextModes' | 'signal'>,
): Promise<Named | undefined> {
  const { buildContexts, signal } = options;
  if (buildContexts === undefined || Object.keys(buildContexts).length === 0) return undefined;
  return (await import('./named.ts')).readNamedContexts(buildContexts, modesOf(options), signal);
}

/** `-f https://…` (buildx: build/opt.go). */
export const isRemoteDockerfile = ({ dockerfile }: Pick<ContextOptions, 'dockerfile'>): boolean =>
  /^https?:\/\//.test(dockerfile ?? '');

function withRemoteDockerfile(argument: ContextArgument, options: ContextOptions): Opener<MainContext> {
  const url = options.dockerfile as string;
  return async (workplace, settings) => {
    const { downloadDockerfile } = await import('./remote.ts');
    const path = await downloadDockerfile(workplace, settings, url, options.signal);
    const main = await findMain(argument, { ...options, dockerfile: path })(workplace, settings);
    return { ...main, dockerfile: { ...main.dockerfile, name: redactUrl(url) } };
  };
}

function findMain(argument: ContextArgument, options: ContextOptions): Opener<MainContext> {
  switch (argument.kind) {
    case 'directory': {
      const main = readMainDirectory(argument.path, options.dockerfile);
      const how = { rules: main.ignored, remember: !options.noCache, ...modesOf(options) };
      return async (workplace) => ({ ...main, open: () => openDirectory(workplace, argument.path, how) });
    }
    case 'file':
      return async (workplace) => (await import('./input.ts')).openInput(workplace, argument.path, options);
    case 'stdin':
      return async (workplace) => (await import('./input.ts')).openInput(workplace, undefined, options);
    default:
      return async (workplace, settings) => (await import('./remote.ts')).openRemote(workplace, settings, argument, options);
  }
}

/** What is known of a directory without opening it. */
export function readMainDirectory(path: string, name: string | undefined) {
  const dockerfile = readDockerfile(path, name);
  const ignored = once(() => readIgnore(path, dockerfile.path));
  return { dockerfile, ignored, files: () => listContext(path, ignored()) };
}

/** How a directory's modes are asked for, where they are. */
function modesOf({ contextModes, signal }: Pick<ContextOptions, 'contextModes' | 'signal'>): Pick<DirectoryOptions, 'modes'> {
  if (contextModes !== 'git') return {};
  return { modes: async (root) => (await import('../../context/git/modes.ts')).readTrackedModes(root, signal) };
}

function once<T>(act: () => T): () => T {
  let result: { readonly value: T } | undefined;
  return () => {
    result ??= { value: act() };
    return result.value;
  };
}
