// How layers go to and from a registry, as docker shows it: lines that stay, and on a terminal a line for each layer that is redrawn in place.

import { Screen } from './progress/screen.ts';
import type { Output } from './surroundings.ts';
import { cutToWidth } from './text.ts';
import { formatSize } from './units.ts';

export interface LayerDisplay<E> {
  readonly show: (event: E) => void;
  /** Gives the terminal back; a second time it does nothing. */
  readonly end: () => void;
}

/** What an event is to who watches. */
export type Shown =
  | { readonly line: string }
  /** From now on these are shown. `sizeBytes` undefined: it is not known yet. */
  | { readonly layers: readonly { readonly digest: string; readonly sizeBytes: number | undefined }[]; readonly text: string }
  | { readonly layer: string; readonly text: string; readonly bytes?: number; readonly sizeBytes?: number | undefined };

export function layerDisplay<E>(output: Output, wordsOf: (event: E) => Shown): LayerDisplay<E> {
  return output.isTTY ? new LiveDisplay(output, wordsOf) : plainDisplay(output, wordsOf);
}

const shortOf = (digest: string): string => digest.slice('sha256:'.length, 'sha256:'.length + 12);

function plainDisplay<E>(output: Output, wordsOf: (event: E) => Shown): LayerDisplay<E> {
  const show = (event: E): void => {
    const shown = wordsOf(event);
    if ('line' in shown) output.write(`${shown.line}\n`);
    else if ('layers' in shown) for (const { digest } of shown.layers) output.write(`${shortOf(digest)}: ${shown.text}\n`);
    else if (shown.bytes === undefined) output.write(`${shortOf(shown.layer)}: ${shown.text}\n`);
  };
  return { show, end: () => {} };
}

interface LayerState {
  sizeBytes: number | undefined;
  text: string;
  /** Undefined: nothing is under way. */
  bytes: number | undefined;
}

const frameMs = 100;

class LiveDisplay<E> implements LayerDisplay<E> {
  readonly #output: Output;
  readonly #wordsOf: (event: E) => Shown;
  readonly #screen: Screen;
  readonly #layers = new Map<string, LayerState>();
  #timer: NodeJS.Timeout | undefined;

  constructor(output: Output, wordsOf: (event: E) => Shown) {
    this.#output = output;
    this.#wordsOf = wordsOf;
    this.#screen = new Screen(output);
  }

  readonly show = (event: E): void => {
    const shown = this.#wordsOf(event);
    if ('layers' in shown) this.#begin(shown.layers);
    else if ('layer' in shown) this.#update(shown);
    else {
      this.end();
      this.#output.write(`${shown.line}\n`);
    }
  };

  readonly end = (): void => {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#screen.finish(this.#lines());
    this.#layers.clear();
  };

  /** The layers of a further image join those that are shown. */
  #begin(layers: Extract<Shown, { layers: unknown }>['layers']): void {
    for (const { digest, sizeBytes } of layers) {
      if (!this.#layers.has(digest)) this.#layers.set(digest, { sizeBytes, text: 'Waiting', bytes: undefined });
    }
    const draw = () => this.#screen.draw(this.#lines().slice(-this.#screen.size.rows + 1));
    draw();
    this.#timer ??= setInterval(draw, frameMs);
  }

  #update({ layer, text, bytes, sizeBytes }: Extract<Shown, { layer: string }>): void {
    const state = this.#layers.get(layer);
    if (!state) return;
    state.text = text;
    state.bytes = bytes;
    if (sizeBytes !== undefined) state.sizeBytes = sizeBytes;
  }

  #lines(): string[] {
    const { columns } = this.#screen.size;
    return [...this.#layers].map(([digest, state]) => cutToWidth(`${shortOf(digest)}: ${progressText(state)}`, columns - 1));
  }
}

const barWidth = 50;

function progressText({ text, bytes, sizeBytes }: LayerState): string {
  if (bytes === undefined) return text;
  if (sizeBytes === undefined) return `${text}  ${formatSize(bytes)}`;
  const filled = Math.min(barWidth, Math.floor((bytes / Math.max(1, sizeBytes)) * barWidth));
  const bar = `${'='.repeat(Math.max(0, filled - 1))}>`.padEnd(barWidth);
  return `${text}  [${bar}]  ${formatSize(bytes)}/${formatSize(sizeBytes)}`;
}
