// How a pull goes, in docker's words: lines that stay, and on a terminal a line for each layer that is redrawn in place.

import { familiarName } from '../oci/reference.ts';
import type { PullEvent } from '../registry/pull.ts';
import { Screen } from './progress/screen.ts';
import type { Output } from './surroundings.ts';
import { cutToWidth, oneLine } from './text.ts';
import { formatSize } from './units.ts';

export interface PullDisplay {
  readonly show: (event: PullEvent) => void;
  /** Gives the terminal back; a second time it does nothing. */
  readonly end: () => void;
}

interface LayerState {
  readonly sizeBytes: number;
  text: string;
  bytes: number;
}

const frameMs = 100;

export function pullDisplay(output: Output): PullDisplay {
  return output.isTTY ? new LiveDisplay(output) : plainDisplay(output);
}

const shortOf = (digest: string): string => digest.slice('sha256:'.length, 'sha256:'.length + 12);

/** The line an event is; undefined: it is none. */
function lineOf(event: PullEvent): string | undefined {
  switch (event.type) {
    case 'pulling':
      return `${event.tag}: Pulling from ${event.repository}`;
    case 'pulled': {
      const name = familiarName(event.name);
      const status = event.isNew ? `Downloaded newer image for ${name}` : `Image is up to date for ${name}`;
      return `Digest: ${event.digest}\nStatus: ${status}`;
    }
    case 'skipped':
      return `${event.name}: Skipped: ${oneLine(event.why)}`;
    default:
      return undefined;
  }
}

const layerWords = { exists: 'Already exists', downloaded: 'Download complete', complete: 'Pull complete' } as const;

function plainDisplay(output: Output): PullDisplay {
  const show = (event: PullEvent): void => {
    if (event.type === 'layers') {
      for (const { digest } of event.layers) output.write(`${shortOf(digest)}: Pulling fs layer\n`);
    } else if (event.type !== 'progress') {
      const line = event.type in layerWords ? undefined : lineOf(event);
      if (line !== undefined) output.write(`${line}\n`);
      else if ('layer' in event) output.write(`${shortOf(event.layer)}: ${layerWords[event.type]}\n`);
    }
  };
  return { show, end: () => {} };
}

class LiveDisplay implements PullDisplay {
  readonly #output: Output;
  readonly #screen: Screen;
  readonly #layers = new Map<string, LayerState>();
  #timer: NodeJS.Timeout | undefined;

  constructor(output: Output) {
    this.#output = output;
    this.#screen = new Screen(output);
  }

  readonly show = (event: PullEvent): void => {
    if (event.type === 'layers') this.#begin(event.layers);
    else if ('layer' in event) this.#update(event);
    else {
      this.end();
      const line = lineOf(event);
      if (line !== undefined) this.#output.write(`${line}\n`);
    }
  };

  readonly end = (): void => {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#screen.finish(this.#lines());
    this.#layers.clear();
  };

  #begin(layers: readonly { readonly digest: string; readonly size: number }[]): void {
    for (const { digest, size } of layers) this.#layers.set(digest, { sizeBytes: size, text: 'Waiting', bytes: 0 });
    const draw = () => this.#screen.draw(this.#lines().slice(-this.#screen.size.rows + 1));
    draw();
    this.#timer = setInterval(draw, frameMs);
  }

  #update(event: Extract<PullEvent, { layer: string }>): void {
    const state = this.#layers.get(event.layer);
    if (!state) return;
    if (event.type === 'progress') state.bytes = event.bytes;
    state.text = event.type === 'progress' ? 'Downloading' : layerWords[event.type];
  }

  #lines(): string[] {
    const { columns } = this.#screen.size;
    return [...this.#layers].map(([digest, state]) => cutToWidth(`${shortOf(digest)}: ${progressText(state)}`, columns - 1));
  }
}

const barWidth = 50;

function progressText({ text, bytes, sizeBytes }: LayerState): string {
  if (text !== 'Downloading') return text;
  const filled = Math.min(barWidth, Math.floor((bytes / Math.max(1, sizeBytes)) * barWidth));
  const bar = `${'='.repeat(Math.max(0, filled - 1))}>`.padEnd(barWidth);
  return `${text}  [${bar}]  ${formatSize(bytes)}/${formatSize(sizeBytes)}`;
}
