// `prune --remote`: makes room in a cache that machines share. Loaded only when it is asked for.

import { TbuildError } from '../base/errors.ts';
import { interruptible } from './interruption.ts';
import type { Library } from './library/library.ts';
import type { Environment } from './surroundings.ts';
import { formatSize } from './units.ts';
import { parseBytes } from './values/build-run.ts';
import { readCaches } from './values/cache.ts';
import { readUsageFilters } from './values/usage.ts';

interface RemoteFlags {
  /** As --cache-from has it. */
  readonly remote: string;
  readonly filter: readonly string[];
  readonly 'max-used-space': string | undefined;
}

/** The line to print. */
export async function pruneRemote(flags: RemoteFlags, env: Environment, library: Library): Promise<string> {
  const { from } = readCaches({ 'cache-from': [flags.remote], 'cache-to': [] }, env);
  const { unusedSince: before, types, ids } = readUsageFilters(flags.filter, Date.now());
  if (types || ids) throw new TbuildError('usage/conflict', 'of a remote cache --filter knows until= alone');
  const space = flags['max-used-space'];
  if (before === undefined && space === undefined) {
    throw new TbuildError('usage/missing-value', 'prune --remote needs --filter until=… or --max-used-space', {
      hint: 'a cache that nobody wants any more is removed where it is kept',
    });
  }
  const options = {
    ...(before !== undefined && { before }),
    ...(space !== undefined && { maxBytes: parseBytes(space, '--max-used-space') }),
  };
  const [source] = from;
  if (!source) throw new TbuildError('usage/missing-value', 'prune --remote needs a cache');
  const pruned = await interruptible((signal) => library.pruneRemote(source.address, options, signal));
  const { entries, blobs, freedBytes, keptBytes } = pruned;
  return `Removed ${entries} entries and ${blobs} blobs: ${formatSize(freedBytes)}, ${formatSize(keptBytes)} are left\n`;
}
