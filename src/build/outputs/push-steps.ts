// Pushes as steps of a build, behind those of its plan, so that whoever watches sees what they do. Loaded only when something is pushed.

import type { Digest } from '../../base/digest.ts';
import { toErrorObject } from '../../base/error-object.ts';
import { familiarName } from '../../oci/reference.ts';
import type { PushEvent } from '../../registry/push.ts';
import type { BuildEvent } from '../events.ts';
import type { ExportedImage, ImageOutput } from './image.ts';

export type Push = (onEvent: (event: PushEvent) => void) => Promise<ExportedImage>;

export class PushSteps {
  /** As the plan announces them. */
  readonly planned: readonly { readonly step: number; readonly name: string; readonly stage: string }[];
  readonly #outputs: readonly ImageOutput[];
  readonly #emit: (event: BuildEvent) => void;

  /** `after`: how many steps there are before. */
  constructor(outputs: readonly ImageOutput[], tags: readonly string[], after: number, emit: (event: BuildEvent) => void) {
    const nameOf = ({ names }: ImageOutput) => `pushing ${(names ?? tags).join(', ')}`;
    this.planned = outputs.map((output, position) => ({ step: after + position + 1, name: nameOf(output), stage: '' }));
    this.#outputs = outputs;
    this.#emit = emit;
  }

  async run(output: ImageOutput, push: Push): Promise<ExportedImage> {
    const { step } = this.planned[this.#outputs.indexOf(output)]!;
    const at = () => ({ time: Date.now(), step });
    this.#emit({ type: 'start', ...at() });
    try {
      const pushed = await push(sayProgress((text) => this.#emit({ type: 'status', ...at(), text })));
      this.#emit({ type: 'done', ...at(), cached: false, layer: undefined });
      return pushed;
    } catch (error) {
      this.#emit({ type: 'failed', ...at(), error: toErrorObject(error) });
      throw error;
    }
  }
}

const PROGRESS_EVERY_MS = 200;

/** What is sent of all layers, as one line; then what each name stands for. */
function sayProgress(say: (text: string) => void): (event: PushEvent) => void {
  const all = new Set<Digest>();
  const there = new Set<Digest>();
  const sent = new Map<Digest, number>();
  let saidMs = Date.now();
  return (event) => {
    if (event.type === 'tagged') say(`pushed ${familiarName(event.name)}: ${event.descriptor.digest}`);
    else if (event.type === 'layers') for (const layer of event.layers) all.add(layer);
    else if (event.type === 'progress') sent.set(event.layer, event.bytes);
    else if ('layer' in event) there.add(event.layer);
    if (event.type === 'pushing' || event.type === 'tagged' || Date.now() - saidMs < PROGRESS_EVERY_MS) return;
    saidMs = Date.now();
    const bytes = [...sent.values()].reduce((sum, each) => sum + each, 0);
    say(`${there.size} of ${all.size} layers there, ${(bytes / 1e6).toFixed(1)}MB sent`);
  };
}
