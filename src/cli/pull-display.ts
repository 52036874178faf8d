// How a pull goes, in docker's words.

import { familiarName } from '../oci/reference.ts';
import type { PullEvent } from '../registry/pull.ts';
import { type LayerDisplay, layerDisplay, type Shown } from './layer-display.ts';
import type { Output } from './surroundings.ts';
import { oneLine } from './text.ts';

export function pullDisplay(output: Output): LayerDisplay<PullEvent> {
  return layerDisplay(output, wordsOf);
}

function wordsOf(event: PullEvent): Shown {
  switch (event.type) {
    case 'pulling':
      return { line: `${event.tag}: Pulling from ${event.repository}` };
    case 'layers': {
      const layers = event.layers.map(({ digest, size }) => ({ digest, sizeBytes: size }));
      return { layers, text: 'Pulling fs layer' };
    }
    case 'progress':
      return { layer: event.layer, text: 'Downloading', bytes: event.bytes };
    case 'exists':
      return { layer: event.layer, text: 'Already exists' };
    case 'downloaded':
      return { layer: event.layer, text: 'Download complete' };
    case 'complete':
      return { layer: event.layer, text: 'Pull complete' };
    case 'pulled': {
      const name = familiarName(event.name);
      const status = event.isNew ? `Downloaded newer image for ${name}` : `Image is up to date for ${name}`;
      return { line: `Digest: ${event.digest}\nStatus: ${status}` };
    }
    case 'skipped':
      return { line: `${event.name}: Skipped: ${oneLine(event.why)}` };
  }
}
