// The image of a container that is to be: what is here under its name, or what its registry has.

import { findHere } from '../images/find-here.ts';
import type { Image } from '../images/image.ts';
import { Images } from '../images/store.ts';
import type { Platform } from '../oci/config.ts';
import type { PullEvent, Pulled } from '../registry/pull.ts';
import type { Workplace } from '../snapshots/workplace.ts';

export interface WantedImage {
  /** A name, an ID, or a unique beginning of one. */
  readonly image: string;
  /** Unset: of an image for several platforms this machine's. */
  readonly platform?: Platform;
  /** Whether the image's registry is asked: where it is not here, before each run, or never. */
  readonly pull: 'missing' | 'always' | 'never';
}

export interface PullWatcher {
  readonly show: (event: PullEvent) => void;
  readonly end: () => void;
}

/** `showPull`: called when there is something to pull; who is told of it. What talks to registries is loaded when there is something to ask them. */
export async function obtainImage(
  workplace: Workplace,
  { image: name, platform, pull }: WantedImage,
  showPull?: () => Promise<PullWatcher>,
): Promise<Image> {
  const images = new Images(workplace.store, workplace.layers);
  const here = pull === 'always' ? undefined : findHere(images, name, platform);
  if (here || pull === 'never') return images.resolveFor(name, platform);
  const { pullImages } = await import('../registry/pull.ts');
  const watcher = await showPull?.();
  try {
    const { signal } = new AbortController();
    const how = { signal, ...(platform && { platform }), ...(watcher && { onEvent: watcher.show }) };
    const [pulled] = await pullImages(workplace, images, name, how);
    return (pulled as Pulled).image;
  } finally {
    watcher?.end();
  }
}
