// A build as those see it who say something of it: what it was told, took and made. Types only.

import type { Image } from '../../images/image.ts';
import type { ImageOperation, Plan } from '../../plan/graph.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import type { Solved } from '../../solve/solver.ts';
import type { Contexts } from '../contexts/options.ts';
import type { BuiltImage } from '../outputs/built-image.ts';
import type { ToldOptions } from './request.ts';

export interface AttestedBuild {
  readonly options: ToldOptions;
  readonly workplace: Workplace;
  readonly contexts: Contexts;
  readonly plan: Plan;
  readonly solved: ReadonlyMap<number, Solved>;
  /** In the order of the plan's targets. */
  readonly built: readonly BuiltImage[];
  /** In full. */
  readonly names: readonly string[];
  /** In ms since the epoch. */
  readonly startedAt: number;
  imageOf(operation: ImageOperation): Promise<Image>;
}
