// `--runtime`, and what stands for it in the environment, as BUILDAH_RUNTIME does for buildah.

import type { Environment } from '../surroundings.ts';

/** Empty, and where neither is given: tbuild's own. */
export function runtimeOf(flag: string | undefined, env: Environment): { runtime?: string } {
  const runtime = flag ?? env.TBUILD_RUNTIME ?? '';
  return runtime === '' ? {} : { runtime };
}
