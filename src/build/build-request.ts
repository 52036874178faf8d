// What a build was asked for, as its record keeps it: where from, and the flags that count.

import { resolve } from 'node:path';
import { redactUrl } from '../http/url.ts';
import type { Platform } from '../oci/config.ts';
import { formatPlatform } from '../oci/platform.ts';
import type { ContextOptions } from './contexts/options.ts';

export interface BuildRequest extends ContextOptions {
  readonly target?: string;
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly platforms?: readonly Platform[];
  readonly noCacheStages?: readonly string[];
  readonly network?: string;
  readonly pull?: boolean;
  readonly reproducible?: boolean;
}

/** Directories in full: the same by whatever way they are named. */
export function placesOf({ context, dockerfile }: BuildRequest): { context: string; dockerfile: string } {
  const place = isPath(context) ? resolve(context) : redactUrl(context);
  if (dockerfile !== undefined)
    return { context: place, dockerfile: isPath(dockerfile) ? resolve(dockerfile) : redactUrl(dockerfile) };
  return { context: place, dockerfile: isPath(context) ? resolve(context, 'Dockerfile') : 'Dockerfile' };
}

const isPath = (text: string): boolean => text !== '-' && !/^(?:[a-z][a-z0-9+.-]*:\/\/|git@)/.test(text);

export function flagsOf(request: BuildRequest): string[] {
  const { target, buildArgs, buildContexts = {}, platforms = [], noCache, noCacheStages = [], contextModes, network } = request;
  return [
    ...(target === undefined ? [] : [`--target=${target}`]),
    ...Object.entries(buildArgs).map(([name, value]) => `--build-arg=${name}=${value}`),
    ...Object.entries(buildContexts).map(([name, value]) => `--build-context=${name}=${redactUrl(value)}`),
    ...platforms.map((platform) => `--platform=${formatPlatform(platform)}`),
    ...(noCache ? ['--no-cache'] : []),
    ...noCacheStages.map((stage) => `--no-cache-filter=${stage}`),
    ...(contextModes === undefined ? [] : [`--context-modes=${contextModes}`]),
    ...(network === undefined || network === 'default' ? [] : [`--network=${network}`]),
    ...(request.pull ? ['--pull'] : []),
    ...(request.reproducible ? ['--reproducible'] : []),
  ];
}
