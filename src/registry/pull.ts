// Pulling as the command does it, and `run` of an image that is not here: by tag, by digest, or all tags of a repository.

import type { Digest } from '../base/digest.ts';
import { TbuildError } from '../base/errors.ts';
import { recordEvent } from '../base/event-log.ts';
import type { Image } from '../images/image.ts';
import type { Images } from '../images/store.ts';
import type { Platform } from '../oci/config.ts';
import { hostPlatform } from '../oci/platform.ts';
import { formatFamiliar, parseReference, type Reference, withDefaultTag } from '../oci/reference.ts';
import type { Workplace } from '../snapshots/workplace.ts';
import { RegistryClient } from './client.ts';
import { findUnchanged } from './find-unchanged.ts';
import { withNearest } from './nearest.ts';
import { type LayerEvent, receiveRemote } from './receive-remote.ts';
import type { Repository } from './repository.ts';
import { type ResolveOptions, resolveImage } from './resolve.ts';

export type PullEvent =
  /** Before anything is asked. `tag` is a digest where one was written. */
  | { readonly type: 'pulling'; readonly repository: string; readonly tag: string }
  | LayerEvent
  | ({ readonly type: 'pulled' } & Pulled)
  /** With --all-tags: a tag that is of no image for this platform. */
  | { readonly type: 'skipped'; readonly name: string; readonly why: string };

export interface Pulled {
  /** In full. */
  readonly name: string;
  /** What the name stands for in its registry. */
  readonly digest: Digest;
  readonly image: Image;
  /** It was not here under that name. */
  readonly isNew: boolean;
}

export interface PullOptions {
  /** Unset: this machine's, and whatever an image is for that is there for one alone. */
  readonly platform?: Platform;
  readonly allTags?: boolean;
  readonly onEvent?: (event: PullEvent) => void;
  readonly signal: AbortSignal;
}

export async function pullImages(place: Workplace, images: Images, name: string, options: PullOptions): Promise<Pulled[]> {
  const reference = parseReference(name);
  if (options.allTags && (reference.tag !== undefined || reference.digest !== undefined)) {
    throw new TbuildError('usage/conflict', `--all-tags is of a repository: ${name} has a tag or a digest`);
  }
  const client = new RegistryClient({ signal: options.signal });
  try {
    const pulled = options.allTags
      ? await pullAll(client, place, images, reference, options)
      : [await pullOne(client, place, images, withDefaultTag(reference), options)];
    const event = { type: 'image', action: 'pull', id: name, attributes: { name } } as const;
    recordEvent(place.store, event);
    return pulled;
  } catch (error) {
    throw images.find(name) ? error : withNearest(images, name, error);
  } finally {
    await client.close();
  }
}

async function pullOne(
  client: RegistryClient,
  place: Workplace,
  images: Images,
  reference: Reference,
  { platform, onEvent = () => {} }: PullOptions,
): Promise<Pulled> {
  const { tag, digest: wanted } = reference;
  onEvent({ type: 'pulling', repository: reference.path, tag: wanted ?? (tag as string) });
  const repository = await client.open(reference, { actions: ['pull'] });
  const how = { platform: platform ?? hostPlatform(), isStrict: platform !== undefined };
  const unchanged = await findUnchanged(images, repository, reference, how.platform);
  const pulled = unchanged ? { ...unchanged, isNew: false } : await receive(place, images, repository, reference, how, onEvent);
  onEvent({ type: 'pulled', ...pulled });
  return pulled;
}

async function receive(
  place: Workplace,
  images: Images,
  repository: Repository,
  reference: Reference,
  how: ResolveOptions,
  onEvent: (event: PullEvent) => void,
): Promise<Pulled> {
  const remote = await resolveImage(repository, reference, how);
  const { name, digest } = remote;
  const before = images.find(name);
  const image = await receiveRemote(place, images, remote, onEvent);
  return { name, digest, image, isNew: before?.id !== image.id };
}

/** A repository may have tags of other things than images, as signatures are. */
async function pullAll(
  client: RegistryClient,
  place: Workplace,
  images: Images,
  reference: Reference,
  options: PullOptions,
): Promise<Pulled[]> {
  const pulled: Pulled[] = [];
  const repository = await client.open(reference, { actions: ['pull'] });
  for await (const tag of repository.listTags()) {
    const tagged = { ...reference, tag };
    try {
      pulled.push(await pullOne(client, place, images, tagged, options));
    } catch (error) {
      if (!(error instanceof TbuildError) || !isOther(error)) throw error;
      options.onEvent?.({ type: 'skipped', name: formatFamiliar(tagged), why: error.message });
    }
  }
  return pulled;
}

const isOther = ({ code }: TbuildError): boolean => code === 'image/not-an-image' || code === 'image/no-platform';
