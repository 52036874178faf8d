// What a build's images are made of, as statements: the image first, then the stages and the context that the Dockerfile wants to have in it (`plan/sbom-scans.ts`).

import { version } from '../../base/version.ts';
import { describeContents, describeFiles, madeAt, type Sbom } from '../../images/image-sbom.ts';
import type { Scan } from '../../plan/graph.ts';
import { openImageFiles, openScannedFiles } from '../../sbom/image-files.ts';
import type { BuiltImage, Said } from '../outputs/built-image.ts';
import type { AttestedBuild } from './attested-build.ts';
import type { SbomAttestOptions } from './options.ts';

const TOOL = `tbuild-${version}`;

/** `notes` hears what could not be read, a line each. */
export async function sbomsOf(
  build: AttestedBuild,
  position: number,
  { filename = 'sbom.spdx.json' }: SbomAttestOptions,
  notes: string[],
): Promise<Said[]> {
  const { workplace, names, options, plan, built } = build;
  const own = built[position] as BuiltImage;
  const how = { name: names[0], epoch: own.epoch, tool: TOOL, signal: options.signal };
  const said = [statement(await describeContents(workplace, own.image, 'spdx-json', how), filename, notes)];
  for (const scan of plan.targets[position]?.scans ?? []) {
    said.push(statement(await describeScan(build, own, scan), withSuffix(filename, scan.name), notes));
  }
  return said;
}

function statement({ document, notes: own }: Sbom, filename: string, notes: string[]): Said {
  notes.push(...own);
  return { predicate: { type: 'https://spdx.dev/Document', content: document }, filename, isInlineOnly: false };
}

async function describeScan({ workplace, contexts, solved, options }: AttestedBuild, own: BuiltImage, { name, of }: Scan) {
  const createdAt = own.epoch ?? madeAt(own.image);
  const how = { tool: TOOL, signal: options.signal };
  if (of === 'context') {
    const { index, files } = await contexts.open('');
    return describeFiles(openScannedFiles(index, files), { name, createdAt, isSource: true }, 'spdx-json', how);
  }
  const result = of === undefined ? undefined : solved.get(of)?.result;
  const state = await workplace.layers.presentAll(result?.kind === 'state' ? result.state : []);
  return describeFiles(openImageFiles(workplace.layers, state), { name, createdAt }, 'spdx-json', how);
}

/** `sbom-build.spdx.json`, as BuildKit's scanner is told to call it. */
const withSuffix = (filename: string, name: string): string => filename.replace(/^(\.?[^.]*)/, `$1-${name}`);
