// Files of a RUN that failed, or of what a step ended with, to look at: test reports, logs. Taken from its layers; nothing is mounted. They belong to who takes them.

import { statSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fetchLater } from '../cache/fetch-later.ts';
import { makeParents, naming, temporaryName } from '../images/place-file.ts';
import { openWorkplace, type Workplace } from '../snapshots/workplace.ts';
import { openSource, prepareTree } from '../steps/copy.ts';
import { selectTree } from '../steps/select.ts';
import { presentState, type Report } from '../steps/step.ts';
import { placeNamed } from './history/places.ts';
import { workshopOf } from './workshop.ts';

export interface TakeOutOptions {
  /** The store; undefined: `$TBUILD_ROOT`, else the default place. */
  readonly root?: string;
  /** As for `shell`. */
  readonly at: string;
  /** In the container. */
  readonly path: string;
  readonly destination: string;
  readonly signal: AbortSignal;
}

/** docker cp's rule: into a directory that is there, else under the name given. Throws `run/no-failure`, `context/not-found`. */
export async function takeOut({ root, at, path, destination, signal }: TakeOutOptions): Promise<void> {
  const place = await openWorkplace(root, fetchLater());
  try {
    const target = resolve(destination);
    const isInto = statSync(target, { throwIfNoEntry: false })?.isDirectory() ?? destination.endsWith('/');
    const name = basename(resolve('/', path));
    await withFiles(place, at, path, isInto ? target : dirname(target), signal, (from) =>
      rename(from, isInto ? join(target, name) : target),
    );
  } finally {
    await place.close();
  }
}

/** What is at `path` becomes what is in `destination`, beside what is there. */
export async function takeOutInto(place: Workplace, path: string, destination: string, signal: AbortSignal): Promise<void> {
  const target = resolve(destination);
  await withFiles(place, 'fail', path, target, signal, async (from) => {
    if (statSync(from).isDirectory()) await place.serve.call('placeTree', { from, to: target, delete: false });
    else await rename(from, join(target, basename(path)));
  });
}

/** `use` gets their path on the file system of `folder`, which is made; what it leaves there is removed. */
async function withFiles(
  place: Workplace,
  at: string,
  path: string,
  folder: string,
  signal: AbortSignal,
  use: (from: string) => Promise<void>,
): Promise<void> {
  const workshop = workshopOf(place, { made: undefined, fixed: undefined });
  const source = openSource(workshop, { kind: 'state', state: await presentState(workshop, placeNamed(place, at).state) });
  const report: Report = { output: () => {}, status: () => {}, signal };
  const tree = selectTree(source.tree, path, at === 'fail' ? 'what the RUN left that failed' : 'what the step ended with');
  const { summary } = await prepareTree(workshop, source, tree).execute(report);
  signal.throwIfAborted();
  makeParents(join(folder, 'x'));
  const staging = join(folder, temporaryName());
  try {
    const stack = { name: path, directory: '', layers: [{ index: summary.index, data: summary.data }] };
    await naming(folder, async () => void (await place.serve.call('copyTree', { stacks: [stack], out: staging })));
    await naming(folder, () => use(join(staging, 'source')));
  } finally {
    await place.serve.call('remove', { path: staging }).catch(() => {});
    place.layers.discard(summary);
  }
}
