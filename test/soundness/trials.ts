// Trials of the promise that observed commands rest on: where what was seen of one tree is so in another, the command does there what it did here.
// A trial runs a command (wanderer.c) on a random tree A, changes A to B, asks whether A's trace holds on B, and runs it there in any case.

import type { Command, Laboratory, Tree } from './laboratory.ts';
import { type Random, random } from './random.ts';
import { type Change, changed, entriesOf, type Files, randomFiles, touched } from './trees.ts';

/** One change of a tree that a command was run on. */
export interface Pair {
  readonly seed: number;
  /** What was observed of A holds on B. */
  readonly holds: boolean;
  /** Where what was made on B differs from what was made on A; undefined: nowhere. */
  readonly difference: string | undefined;
  /** Nothing but times was changed. */
  readonly isTouch: boolean;
  /** Whether it would hold if observations of one kind were left out. */
  readonly holdsWithout: (kind: string) => boolean;
}

interface Shape {
  readonly layers: readonly { readonly files: Files; readonly traced: boolean }[];
  readonly mount: Files | undefined;
}

/** Trials of one kind: of some of the wanderer's operations (all of them looks), and one change of what they have looked at. */
export interface Narrow {
  readonly operations: string;
  readonly change: Change | 'new';
}

/** Those of one seed. */
export async function tryPairs(laboratory: Laboratory, seed: number, narrow?: Narrow): Promise<Pair[]> {
  const draw = random(seed);
  const command = randomCommand(draw, seed, narrow?.operations);
  const shape = narrow ? randomShape(draw, ['t', 'et']) : randomShape(draw);
  const first = await laboratory.run(treeOf(shape), command);
  const pairs: Pair[] = [];
  // With a file where it should begin, nothing is seen.
  for (let count = typeof first === 'string' ? 0 : 3; count > 0 && typeof first !== 'string'; count--) {
    const isTouch = count === 3 && draw.oneIn(8);
    // A third of the changes are where the command has looked, so that it is known what happens when less is observed.
    const isNear = count === 1 || narrow !== undefined;
    const next = isTouch ? touchedShape(shape) : changedShape(shape, draw, first.paths, isNear, narrow?.change);
    const other = treeOf(next);
    const holds = await laboratory.holds(other, command);
    const difference = first.differenceTo(await laboratory.run(other, command));
    const holdsWithout = (kind: string): boolean => {
      const gaps = first.trace.gaps.map((gap) => (gap === null ? null : gap.filter(([own]) => own !== kind)));
      return holds({ ...first.trace, gaps });
    };
    pairs.push({ seed, holds: holds(first.trace), isTouch, holdsWithout, difference });
  }
  laboratory.clear();
  return pairs;
}

/** Operations that change nothing. */
export const LOOKS =
  'lstat,stat,fstat,access,executable,slash,read,head,beyond,far,end,hole,data,fionread,statx,statx_cached,statx_birth,list,link,xattr,acl,xattrs,map,parent,real,execute,same,send,list_bit_by_bit,list_behind,statfs,handle,extents,flags,lock,watch,statx_nothing,statx_more,direct,copy,splice,cached,directory';

function randomCommand(draw: Random, seed: number, operations = draw.oneIn(2) ? 'all' : LOOKS): Command {
  const steps = 3 + draw.below(14);
  return {
    args: ['WALK', String(seed), String(steps), operations, '/out/log'],
    workdir: draw.pick(['/', '/', '/', '/t', '/t/a/b']),
    userns: draw.pick(['private', 'private', 'host']),
    writable: draw.oneIn(2),
  };
}

function randomShape(draw: Random, of = ['t', 'tt', 'ttt', 'et', 'tet', 'ttett', 'tete']): Shape {
  const kinds = draw.pick(of);
  const isPlain = draw.oneIn(2);
  const layers = Array.from(kinds, (kind) => ({ files: randomFiles(draw, 't', isPlain && kind === 't'), traced: kind === 't' }));
  return { layers, mount: draw.oneIn(3) ? randomFiles(draw, 'm', isPlain) : undefined };
}

function changedShape(
  { layers, mount }: Shape,
  draw: Random,
  near: readonly string[],
  isNear: boolean,
  only?: Change | 'new',
): Shape {
  if (mount && draw.oneIn(3)) return { layers, mount: changed(mount, 'm', draw, near, isNear, only) };
  const traced = layers.flatMap(({ traced }, place) => (traced ? [place] : []));
  const next = [...layers];
  for (let count = draw.oneIn(4) ? 2 : 1; count > 0; count--) {
    const place = draw.pick(traced);
    next[place] = { files: changed((next[place] as Shape['layers'][number]).files, 't', draw, near, isNear, only), traced: true };
  }
  // Of observed layers that lie on each other, one more that says nothing changes nothing by itself.
  if (draw.oneIn(6)) next.splice(draw.pick(traced), 0, { files: { '': directory }, traced: true });
  return { layers: next, mount };
}

const directory = { type: 'dir', mode: 0o755, uid: 0, seconds: 0 } as const;

const touchedShape = ({ layers, mount }: Shape): Shape => ({
  layers: layers.map(({ files, traced }) => ({ files: traced ? touched(files) : files, traced })),
  mount: mount && touched(mount),
});

const treeOf = ({ layers, mount }: Shape): Tree => ({
  layers: layers.map(({ files, traced }) => ({ entries: entriesOf(files), traced })),
  mount: mount && entriesOf(mount),
});
