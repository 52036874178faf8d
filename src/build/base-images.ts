// The images that a build stands on or takes from: those of the store, of layouts, and what is missing from registries. Each is found once in a
// build, so that its config and its layers belong together. What talks to registries is loaded when something is missing.

import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { RemoteReader } from '../cache/remote/reader.ts';
import { findHere } from '../images/find-here.ts';
import type { Image } from '../images/image.ts';
import type { Images } from '../images/store.ts';
import type { ImageConfig, Platform } from '../oci/config.ts';
import { formatPlatform } from '../oci/platform.ts';
import type { ImageOperation } from '../plan/graph.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { Report, State } from '../steps/step.ts';
import { isLayoutReference, LayoutImages, shownReference } from './contexts/layout-images.ts';
import type { FoundRemote, RemoteImages } from './remote-images.ts';

/** Where an image is; `remote`: its layers are still to be fetched. */
type Found = { readonly image: Image } | { readonly remote: FoundRemote };

export class BaseImageFinder {
  readonly #workplace: Workplace;
  readonly #images: Images;
  readonly #isPulled: boolean;
  readonly #signal: AbortSignal;
  readonly #layouts: LayoutImages;
  readonly #reader: RemoteReader | undefined;
  readonly #found = new Map<string, Promise<Found>>();
  #remotes: Promise<RemoteImages> | undefined;

  /**
   * `isPulled`: what is in the store does not count, unless its registry says that it is the newest. `reader`: a remote cache that may know what is
   * in images, so that their layers need not be fetched.
   */
  constructor(workplace: Workplace, images: Images, isPulled: boolean, signal: AbortSignal, reader?: RemoteReader) {
    this.#reader = reader;
    this.#workplace = workplace;
    this.#images = images;
    this.#isPulled = isPulled;
    this.#signal = signal;
    this.#layouts = new LayoutImages(workplace, images);
  }

  /** An image that is there for one platform is taken whatever that is, as by BuildKit: there is a check that says so. */
  async config(reference: string, platform: Platform): Promise<ImageConfig> {
    const found = await this.#find(reference, platform);
    return ('image' in found ? found.image : found.remote).config;
  }

  /** In the store, with its layers. */
  async image({ reference, platform }: Pick<ImageOperation, 'reference' | 'platform'>, report: Report): Promise<Image> {
    const found = await this.#find(reference, platform);
    return 'image' in found ? found.image : found.remote.pull(report);
  }

  async state({ reference, platform }: ImageOperation, report: Report): Promise<State> {
    const found = await this.#find(reference, platform);
    const known =
      this.#reader && 'remote' in found && found.remote.layers ? await this.#reader.findImage(found.remote.layers) : undefined;
    if (known) return known;
    const image = await this.image({ reference, platform }, report);
    return image.layers.map((id) => {
      const layer = this.#workplace.layers.get(id);
      if (layer) return layer;
      throw new TbuildError('store/layer-gone', `the layer ${id} of ${shownReference(reference)} is not in the store`, {
        hint: 'load or pull the image again; tbuild fsck lists what else is missing',
      });
    });
  }

  /** Whether the store has something under that name, whatever it is. */
  isHere(reference: string): boolean {
    return this.#images.find(reference) !== undefined;
  }

  /** Of its manifest, else of its config. */
  async digest({ reference, platform }: ImageOperation): Promise<Digest> {
    const found = await this.#find(reference, platform);
    return 'image' in found ? (found.image.manifest ?? found.image.id) : found.remote.digest;
  }

  async close(): Promise<void> {
    await (await this.#remotes)?.close();
  }

  #find(reference: string, platform: Platform): Promise<Found> {
    const key = `${formatPlatform(platform)} ${reference}`;
    const found = this.#found.get(key) ?? this.#search(reference, platform);
    this.#found.set(key, found);
    return found;
  }

  async #search(reference: string, platform: Platform): Promise<Found> {
    if (isLayoutReference(reference)) return { image: await this.#layouts.find(reference, platform) };
    const here = this.#isPulled ? undefined : findHere(this.#images, reference, platform);
    if (here) return { image: here };
    this.#remotes ??= this.#openRemotes();
    return { remote: await (await this.#remotes).find(reference, platform) };
  }

  async #openRemotes(): Promise<RemoteImages> {
    const { RemoteImages } = await import('./remote-images.ts');
    return new RemoteImages(this.#workplace, this.#images, this.#signal);
  }
}
