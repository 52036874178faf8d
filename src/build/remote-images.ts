// Images of registries, for one build. Loaded only by builds that lack one, or are told to ask for the newest.

import { type Digest, sha256 } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import type { ImageLayers } from '../cache/remote/reader.ts';
import type { Image } from '../images/image.ts';
import type { Images } from '../images/store.ts';
import type { ImageConfig, Platform } from '../oci/config.ts';
import { familiarName, isPinned, parseReference } from '../oci/reference.ts';
import { RegistryClient } from '../registry/client.ts';
import { findUnchanged, type Unchanged } from '../registry/find-unchanged.ts';
import { withNearest } from '../registry/nearest.ts';
import { type LayerEvent, receiveRemote } from '../registry/receive-remote.ts';
import { type RemoteImage, resolveImage } from '../registry/resolve.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import type { Report } from '../steps/step.ts';

export interface FoundRemote {
  readonly config: ImageConfig;
  /** Of its manifest, else of its config. */
  readonly digest: Digest;
  /** Undefined: it is here. */
  readonly layers?: ImageLayers;
  /** Brings it into the store. */
  pull(report: Report): Promise<Image>;
}

export class RemoteImages {
  readonly #workplace: Workplace;
  readonly #images: Images;
  readonly #client: RegistryClient;
  /** By name: the images for several platforms that share one come one after the other, each to join those before it. */
  readonly #last = new Map<string, Promise<unknown>>();

  constructor(workplace: Workplace, images: Images, signal: AbortSignal) {
    this.#workplace = workplace;
    this.#images = images;
    this.#client = new RegistryClient({ signal });
  }

  async find(reference: string, platform: Platform): Promise<FoundRemote> {
    const found = await this.#resolve(reference, platform);
    if ('image' in found) {
      const { image } = found;
      return { config: image.config, digest: image.manifest ?? image.id, pull: async () => image };
    }
    let pulling: Promise<Image> | undefined;
    const pull = (report: Report): Promise<Image> => {
      pulling ??= this.#inTurn(found.name, () => this.#receive(found, report));
      return pulling;
    };
    return { config: found.config, digest: sha256(found.manifestBytes), layers: layersOf(found), pull };
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  async #resolve(reference: string, platform: Platform): Promise<RemoteImage | Unchanged> {
    try {
      const parsed = parseReference(reference);
      const repository = await this.#client.open(parsed, { actions: ['pull'] });
      const unchanged = await findUnchanged(this.#images, repository, parsed, platform);
      return unchanged ?? (await resolveImage(repository, parsed, { platform, isStrict: false }));
    } catch (error) {
      if (!(error instanceof TbuildError)) throw error;
      const what = `failed to resolve source metadata for ${reference}: ${error.message}`;
      const { code, hint, cause, details } = error;
      throw withNearest(this.#images, familiarName(reference), new TbuildError(code, what, { hint, cause, details }));
    }
  }

  #inTurn<T>(name: string, act: () => Promise<T>): Promise<T> {
    const turn = (this.#last.get(name) ?? Promise.resolve()).then(act, act);
    this.#last.set(name, turn);
    return turn;
  }

  async #receive(remote: RemoteImage, report: Report): Promise<Image> {
    report.status(`resolve ${remote.name}${isPinned(remote.name) ? '' : `@${remote.digest}`}`);
    return receiveRemote(this.#workplace, this.#images, remote, sayProgress(report));
  }
}

function layersOf({ config, manifest, repository }: RemoteImage): ImageLayers {
  return { diffIds: config.rootfs.diff_ids as Digest[], blobs: manifest.layers, repository: repository.name };
}

const PROGRESS_EVERY_MS = 200;

/** What is fetched of all layers, as one line. */
function sayProgress(report: Report): (event: LayerEvent) => void {
  const received = new Map<string, number>();
  const sizes = new Map<string, number>();
  let saidMs = 0;
  const say = (verb: string) => {
    const sum = (numbers: Iterable<number>) => [...numbers].reduce((all, each) => all + each, 0);
    const wanted = [...received.keys()].map((layer) => sizes.get(layer) ?? 0);
    report.status(`${verb} ${megabytes(sum(received.values()))} / ${megabytes(sum(wanted))}`);
  };
  return (event) => {
    if (event.type === 'layers') for (const { digest, size } of event.layers) sizes.set(digest, size);
    else if (event.type === 'progress') {
      received.set(event.layer, event.bytes);
      if (Date.now() - saidMs < PROGRESS_EVERY_MS) return;
      saidMs = Date.now();
      say('downloading');
    } else if (event.type === 'complete') say('unpacked');
  };
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)}MB`;
