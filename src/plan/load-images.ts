// Configs of the images that needed stages stand on or take from, and the ONBUILD triggers in them. The only part of
// planning that waits for something.

import { TbuildError } from '../base/errors.ts';
import type { Checks, Subject } from '../dockerfile/checks.ts';
import { type Place, withPlace } from '../dockerfile/errors.ts';
import { didYouMean } from '../dockerfile/suggest.ts';
import type { ImageConfig, Platform } from '../oci/config.ts';
import { formatPlatform } from '../oci/platform.ts';
import { checkBasePlatform } from './checks.ts';
import type { BaseImages } from './graph.ts';
import { type StageNode, type Stages, sourcePlace } from './stages.ts';

/** Configs of images, by reference and platform; undefined: it is not here, and planning goes on without. */
export type Images = ReadonlyMap<string, ImageConfig | undefined>;

export const imageKey = (reference: string, platform: Platform): string => `${formatPlatform(platform)} ${reference}`;

interface WantedImage {
  readonly reference: string;
  readonly written: string;
  readonly platform: Platform;
  readonly where: Place;
  readonly subject: Subject;
}

/**
 * Loads what needed stages stand on or take from, and puts the triggers of bases before their instructions; these may
 * need further stages and images, so it goes on until nothing is new.
 */
export async function loadImages(stages: Stages, target: Platform, bases: BaseImages, checks: Checks): Promise<Images> {
  const loaded = new Map<string, ImageConfig | undefined>();
  const names = stages.nodes.flatMap(({ name }) => name ?? []);
  const triggered = new Set<StageNode>();
  for (;;) {
    const needed = stages.reachable();
    const wanted = new Map<string, WantedImage>();
    for (const image of needed.flatMap((node) => [...imagesOf(node, target)])) {
      const key = imageKey(image.reference, image.platform);
      if (!loaded.has(key)) wanted.set(key, image);
    }
    await Promise.all(
      [...wanted].map(async ([key, image]) => {
        loaded.set(key, await loadImage(image, names, bases));
      }),
    );
    for (const [key, image] of wanted) {
      const config = loaded.get(key);
      if (config !== undefined && config.rootfs.diff_ids.length > 0) checkBasePlatform(image, image.platform, config, checks);
    }
    const fresh = needed.filter((node) => !triggered.has(node));
    if (fresh.length === 0 && wanted.size === 0) return loaded;
    for (const node of fresh) {
      triggered.add(node);
      const triggers = triggersOf(node, target, loaded);
      if (triggers.length > 0) stages.addTriggers(node, triggers);
    }
  }
}

function* imagesOf(node: StageNode, target: Platform): Generator<WantedImage> {
  if (node.base.kind === 'image') yield { ...node.base, platform: node.platform ?? target, where: node.basePlace, subject: node };
  for (const { instruction, sources } of node.instructions) {
    for (const [i, source] of sources.entries()) {
      if (source?.kind === 'image')
        yield { ...source, platform: target, where: sourcePlace(instruction, i), subject: instruction };
    }
  }
}

async function loadImage(image: WantedImage, stageNames: readonly string[], bases: BaseImages): Promise<ImageConfig | undefined> {
  try {
    return await bases.config(image.reference, image.platform);
  } catch (error) {
    if (!(error instanceof TbuildError)) throw error;
    // A misspelt stage is looked for as an image.
    const meant = didYouMean(image.written, stageNames);
    const hint = meant === undefined ? error.hint : `did you mean the stage ${meant}?`;
    const { code, message, cause, details } = error;
    throw withPlace(new TbuildError(code, message, { hint, cause, details, where: error.where }), image.where);
  }
}

/** Those of an image's config, or those that the stage below says itself. */
function triggersOf(node: StageNode, target: Platform, images: Images): readonly string[] {
  const { base } = node;
  if (base.kind === 'image') {
    return images.get(imageKey(base.reference, node.platform ?? target))?.config?.OnBuild ?? [];
  }
  if (base.kind !== 'stage') return [];
  return base.stage.instructions.flatMap(({ instruction }) => (instruction.kind === 'onbuild' ? [instruction.trigger] : []));
}
