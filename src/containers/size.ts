// How much room containers take: what they wrote themselves, and that with the image below it.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Digest } from '../base/digest.ts';
import type { Serve } from '../native/serve.ts';
import type { Layers } from '../snapshots/layers.ts';
import type { Container } from './containers.ts';

export interface ContainerSize {
  /** Of the files that it wrote. */
  readonly writtenBytes: number;
  /** Of those and the image's. */
  readonly rootBytes: number;
}

interface SizePlace {
  readonly layers: Layers;
  readonly serve?: Serve;
}

export async function sizeOf({ layers, serve }: SizePlace, { directory, spec }: Container): Promise<ContainerSize> {
  const upper = join(directory, 'upper');
  const writtenBytes = serve && existsSync(upper) ? (await serve.call('measure', { path: upper })).bytes : 0;
  const imageBytes = spec.layers.reduce((sum, layer) => sum + (layers.get(layer as Digest)?.bytes ?? 0), 0);
  return { writtenBytes, rootBytes: imageBytes + writtenBytes };
}
