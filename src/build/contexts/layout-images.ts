// Images of `--build-context name=oci-layout://…`: brought into the store, without a name, when a stage needs them. Within a build they go by a reference
// that no registry could have.

import { resolve } from 'node:path';
import type { NamedSource } from '../../context/named.ts';
import type { Image } from '../../images/image.ts';
import type { Images } from '../../images/store.ts';
import type { Platform } from '../../oci/config.ts';
import { formatPlatform } from '../../oci/platform.ts';
import { familiarName } from '../../oci/reference.ts';
import type { Workplace } from '../../snapshots/workplace.ts';

const PREFIX = 'oci-layout://';

export function layoutReference({ folder, tag, digest }: NamedSource & { kind: 'layout' }): string {
  return `${PREFIX}${resolve(folder)}${digest === undefined ? `:${tag}` : `@${digest}`}`;
}

export const isLayoutReference = (reference: string): boolean => reference.startsWith(PREFIX);

/** As people write it. */
export const shownReference = (reference: string): string => (isLayoutReference(reference) ? reference : familiarName(reference));

/** Each is loaded once in a build. */
export class LayoutImages {
  readonly #workplace: Workplace;
  readonly #images: Images;
  readonly #loading = new Map<string, Promise<Image>>();

  constructor(workplace: Workplace, images: Images) {
    this.#workplace = workplace;
    this.#images = images;
  }

  find(reference: string, platform: Platform): Promise<Image> {
    const key = `${formatPlatform(platform)} ${reference}`;
    const loading = this.#loading.get(key) ?? this.#load(reference, platform);
    this.#loading.set(key, loading);
    return loading;
  }

  async #load(reference: string, platform: Platform): Promise<Image> {
    const [, folder, tag, digest] = /^oci-layout:\/\/(.*?)(?::([^:@/]*)|@(sha256:[0-9a-f]{64}))$/s.exec(
      reference,
    ) as RegExpExecArray;
    const { loadLayoutImage } = await import('../../images/load-layout.ts');
    return loadLayoutImage(this.#workplace, this.#images, {
      folder: folder as string,
      wanted: digest ?? (tag as string),
      platform,
    });
  }
}
