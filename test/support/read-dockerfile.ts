// Reads a Dockerfile as a build does, up to its plan: whatever bases it names are there.

import { TbuildError } from '../../src/base/errors.ts';
import { parseDockerfile } from '../../src/dockerfile/parse.ts';
import type { BaseImages } from '../../src/plan/graph.ts';
import { planBuild } from '../../src/plan/plan.ts';

const linux = { os: 'linux', architecture: 'amd64' };
const bases: BaseImages = {
  config: async () => ({ ...linux, config: {}, rootfs: { type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`] }, history: [] }),
};

/** How many steps are planned, or the code of the error; its place is worked out, as if it were printed. */
export async function readDockerfile(text: string): Promise<number | string> {
  try {
    const options = { buildArgs: {}, buildPlatform: linux, labels: {}, contexts: {} };
    return (await planBuild(parseDockerfile(text, 'Dockerfile'), options, bases)).steps.length;
  } catch (error) {
    if (!(error instanceof TbuildError)) throw error;
    void error.where?.range;
    return error.code;
  }
}

/** `line` for each number below `count`, as one text. */
export const repeatLines = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, i) => line(i)).join('');
