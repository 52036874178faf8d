// `--load`, `type=docker` without a destination: what was built is in the store; where a Docker or a podman is running it is handed to that too, as an
// archive that docker save would write. Loaded only when it is asked for.

import { findEngine } from '../../http/find-engine.ts';
import { writeImages } from '../../images/save.ts';
import type { Images } from '../../images/store.ts';
import { hostPlatform, matchesPlatform } from '../../oci/platform.ts';
import { familiarName, normalizeName } from '../../oci/reference.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import type { BuildImages } from './built-image.ts';
import { formOptions, type ImageForm } from './image.ts';

export interface EngineOutput extends ImageForm {
  readonly type: 'engine';
}

export interface HandedOver {
  /** `app:latest (podman)`, where it was loaded. */
  readonly paths: readonly string[];
  /** Why it was not, though nobody did anything wrong. */
  readonly note?: string;
}

export async function handOver(
  workplace: Workplace,
  images: Images,
  result: BuildImages,
  output: EngineOutput,
  tags: readonly string[],
  signal: AbortSignal,
): Promise<HandedOver> {
  const engine = await findEngine(process.env, signal);
  if (!engine)
    return { paths: [], note: 'no Docker or podman is listening here: the image is in the store of tbuild, for tbuild run' };
  try {
    const own =
      result.built.length === 1
        ? result.built[0]
        : result.built.find(({ platform }) => matchesPlatform(hostPlatform(), platform));
    if (!own) return { paths: [], note: `${engine.name} takes an image for one platform, and none of these is for this machine` };
    const names = (output.names ?? tags).map(normalizeName);
    const { compression = 'none', forceCompression } = output;
    const form = { ...formOptions(output, result), compression, keepsOthers: !forceCompression && compression !== 'none' };
    const selected = [{ subject: own.image, names }];
    await engine.load(
      (archive) => writeImages(workplace, images, selected, { ...form, format: 'docker', destination: archive }),
      signal,
    );
    const shown = names.length > 0 ? names.map(familiarName) : [own.image.id];
    return { paths: shown.map((name) => `${name} (${engine.name})`) };
  } finally {
    await engine.close();
  }
}
