// The Docker or podman that is running, if there is one. What speaks to it is loaded only when somebody may be listening.

import type { Engine } from './engine.ts';
import { enginePlaces } from './engine-places.ts';

/** The first that answers; undefined: none does. Throws `registry/no-engine` for one that the environment names. */
export async function findEngine(
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<Engine | undefined> {
  for (const place of enginePlaces(env)) {
    const { openEngine } = await import('./engine.ts');
    const engine = await openEngine(place, signal);
    if (engine) return engine;
  }
  return undefined;
}
