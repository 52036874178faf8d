// Where a step of an earlier build was: its files, and of a RUN its mounts, environment, user and directory.

import type { BuildRecord } from '../../cache/builds.ts';
import { readPlace } from '../../cache/traces.ts';
import { hostPlatform } from '../../oci/platform.ts';
import type { RunOperation } from '../../plan/graph.ts';
import { networkOf } from '../../sandbox/network.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import { chainTo } from '../../solve/why/past.ts';
import { latestFailure, openPlace, openState, type RunPlace } from '../../steps/run-places.ts';
import { layersOf, stepNamed } from './steps.ts';

/** `fail`: the RUN that failed last; else a step (`step:5`). Throws `run/no-failure`, `usage/unknown-step`, `store/layer-gone`. */
export function placeNamed({ store, layers }: Workplace, name: string): RunPlace {
  if (name === 'fail') return latestFailure({ db: store.db, layers });
  const { build, at } = stepNamed(store, name);
  const state = layersOf({ store, layers }, build, at);
  const places = chainTo(build.steps, at)
    .toReversed()
    .map((step) => placeOf(store.db, build, step));
  const own = places[0];
  if (own !== undefined) return openPlace(layers, own, state);
  // What no command has run in is shown as the one before has seen it.
  const before = places.find((place) => place !== undefined);
  if (before === undefined)
    return {
      operation: BARE,
      network: networkOf('default', process.getuid?.() === 0),
      state: openState(layers, state),
      sources: [],
    };
  const place = openPlace(layers, before, state);
  return { ...place, operation: { ...place.operation, mounts: [] }, sources: [] };
}

function placeOf(db: Workplace['store']['db'], build: BuildRecord, step: number): string | undefined {
  const trace = build.steps[step]?.trace;
  return trace === undefined ? undefined : readPlace(db, trace);
}

const BARE: RunOperation = {
  kind: 'run',
  args: ['/bin/sh', '-c', ''],
  env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
  proxyEnv: [],
  user: '',
  workdir: '/',
  mounts: [],
  network: 'default',
  security: 'sandbox',
  devices: [],
  hostname: undefined,
  pipes: [],
  platform: hostPlatform(),
};
