// What a build was told, under the names by which BuildKit's frontend is told it. Where things lie on this machine is nobody's business, and whether
// earlier results counted makes no difference to what is built: neither is told.

import { basename } from 'node:path';
import { redactUrl } from '../../http/url.ts';
import type { ContextOptions } from '../contexts/options.ts';
import type { SandboxOptions } from '../sandbox-options.ts';

/** Of a build's options, those that are told. */
export interface ToldOptions extends ContextOptions, Pick<SandboxOptions, 'network' | 'extraHosts'> {
  readonly target?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly reproducible?: boolean;
}

/** Sorted by name. */
export function argsOf(options: ToldOptions): Record<string, string> {
  const { buildArgs, labels, target, network, extraHosts = [], buildContexts = {} } = options;
  const hosts = extraHosts.map(({ name, address }) => `${name}=${address}`).join(',');
  const args = {
    ...prefixed('build-arg', buildArgs),
    ...prefixed('label', labels),
    ...prefixed('context', Object.fromEntries(Object.entries(buildContexts).map(shownContext))),
    ...(target && { target }),
    ...(network !== 'default' && { 'force-network-mode': network }),
    ...(hosts !== '' && { 'add-hosts': hosts }),
  };
  return Object.fromEntries(Object.entries(args).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function prefixed(prefix: string, values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}:${name}`, value]));
}

function shownContext([name, value]: readonly [string, string]): [string, string] {
  const isFar = /^(?:docker-image:\/\/|https?:\/\/|git:\/\/|ssh:\/\/|git@|github\.com\/)/.test(value);
  return [name, isFar ? redactUrl(value) : `local:${name}`];
}

/** As BuildKit is told it: without the directory. */
export function dockerfileName({ dockerfile = 'Dockerfile' }: Pick<ContextOptions, 'dockerfile'>): string {
  return dockerfile === '-' ? 'Dockerfile' : basename(redactUrl(dockerfile));
}
