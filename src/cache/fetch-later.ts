// What a workplace is opened with, so that the data of layers that are elsewhere comes when it is needed. Few ever are: what fetches is loaded then.

import type { Fetcher } from '../snapshots/layers.ts';
import type { Workplace } from '../snapshots/workplace.ts';

export function fetchLater(signal: AbortSignal = new AbortController().signal): (place: Workplace) => Fetcher {
  return (place) => ({
    fetch: async (layer) => (await import('./remote/fetch-layer.ts')).fetchLayer(place, layer, signal),
    open: async function* (layer, data) {
      yield* (await import('./remote/fetch-layer.ts')).openBlob(place, layer, data, signal);
    },
  });
}
