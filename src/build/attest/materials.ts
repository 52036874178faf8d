// What a build took from elsewhere, each with the digest that it had: base images, downloads, git repositories (BuildKit: provenance/capture.go).

import { basename } from 'node:path';
import type { Image } from '../../images/image.ts';
import type { Platform } from '../../oci/config.ts';
import { formatPlatform } from '../../oci/platform.ts';
import { familiarRepository, parseReference } from '../../oci/reference.ts';
import type { ImageOperation, Step } from '../../plan/graph.ts';
import { packageUrl } from '../../sbom/purl.ts';
import type { Solved } from '../../solve/solver.ts';
import type { Material } from '../../steps/step.ts';
import { isLayoutReference } from '../contexts/layout-images.ts';

export interface Sources {
  /** Sorted by URI, each once. */
  readonly materials: readonly Material[];
  /** Contexts of this machine, by name: nobody else can look at them. */
  readonly locals: readonly string[];
}

/** `steps`: those that the image stands on or takes from. */
export async function findSources(
  steps: readonly Step[],
  solved: ReadonlyMap<number, Solved>,
  imageOf: (operation: ImageOperation) => Promise<Image>,
): Promise<Sources> {
  const materials = new Map<string, Material>();
  const locals = new Set<string>();
  for (const { id, op } of steps) {
    const result = solved.get(id)?.result;
    const found =
      op.kind === 'image' ? imageMaterial(op, await imageOf(op)) : result && 'material' in result ? result.material : undefined;
    if (found) materials.set(found.uri, found);
    else if (op.kind === 'context') locals.add(op.name === '' ? 'context' : op.name);
  }
  const sorted = [...materials.values()].sort((a, b) => (a.uri < b.uri ? -1 : 1));
  return { materials: sorted, locals: [...locals].sort() };
}

/** By the manifest it came with; one of this store's own is known by its ID. */
function imageMaterial({ reference, platform }: ImageOperation, { id, manifest }: Image): Material {
  const digest = (manifest ?? id).slice('sha256:'.length);
  return { uri: imageUrl(reference, platform), digest: { sha256: digest } };
}

/** BuildKit's util/purl. Where a layout lies on this machine is nobody's business. */
export function imageUrl(reference: string, platform: Platform): string {
  const qualifiers = { platform: formatPlatform(platform) };
  if (isLayoutReference(reference)) return packageUrl('oci', { name: basename(reference).replace(/[:@].*$/, ''), qualifiers });
  const parsed = parseReference(reference);
  const name = familiarRepository(parsed);
  const slash = name.lastIndexOf('/');
  return packageUrl('docker', {
    namespace: name.slice(0, Math.max(0, slash)),
    name: name.slice(slash + 1),
    version: parsed.tag ?? (parsed.digest === undefined ? 'latest' : undefined),
    qualifiers: { ...qualifiers, digest: parsed.digest },
  });
}
