// How a push goes, in docker's words.

import type { PushEvent } from '../registry/push.ts';
import { type LayerDisplay, layerDisplay, type Shown } from './layer-display.ts';
import type { Output } from './surroundings.ts';

export function pushDisplay(output: Output): LayerDisplay<PushEvent> {
  return layerDisplay(output, wordsOf);
}

function wordsOf(event: PushEvent): Shown {
  switch (event.type) {
    case 'pushing':
      return { line: `The push refers to repository [${event.repository}]` };
    case 'layers':
      return { layers: event.layers.map((digest) => ({ digest, sizeBytes: undefined })), text: 'Preparing' };
    case 'progress':
      return { layer: event.layer, text: 'Pushing', bytes: event.bytes, sizeBytes: event.sizeBytes };
    case 'exists':
      return { layer: event.layer, text: 'Layer already exists' };
    case 'mounted':
      return { layer: event.layer, text: `Mounted from ${event.from}` };
    case 'pushed':
      return { layer: event.layer, text: 'Pushed' };
    case 'tagged': {
      const { digest, size } = event.descriptor;
      return { line: `${event.tag ?? event.name}: digest: ${digest} size: ${size}` };
    }
  }
}
