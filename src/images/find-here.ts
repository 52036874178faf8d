// Whether an image need not be pulled: what the store has under its name will do.

import type { Platform } from '../oci/config.ts';
import { matchesPlatform } from '../oci/platform.ts';
import { isPinned } from '../oci/reference.ts';
import type { Image } from './image.ts';
import type { Images } from './store.ts';

/**
 * An image that was pulled for other platforms will not do for this one: its registry may have it. One that was built or loaded will, whatever it
 * is for: nobody else has it.
 */
export function findHere(images: Images, nameOrId: string, platform: Platform | undefined): Image | undefined {
  const image = images.find(nameOrId);
  if (!image || !platform) return image;
  const index = images.resolveIndex(nameOrId);
  const offered = index?.images ?? [{ platform: image.config, image }];
  const isFor = offered.some((each) => matchesPlatform(platform, each.platform));
  if (!isFor && (index ?? image).names.some(isPinned)) return undefined;
  return images.resolve(nameOrId, platform);
}
