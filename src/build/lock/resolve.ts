// What sources stand for now: asked of their registries, servers and repositories, but for what is locked already. Each is asked for once. Images are not
// pulled; a file that ADD takes has to be downloaded, and is kept for the build.

import { TbuildError } from '../../base/errors.ts';
import { withPlace } from '../../dockerfile/errors.ts';
import type { ImageConfig, Platform } from '../../oci/config.ts';
import { formatPlatform } from '../../oci/platform.ts';
import type { BaseImages, RemoteOperation, Step } from '../../plan/graph.ts';
import { RegistryClient } from '../../registry/client.ts';
import { findManifests } from '../../registry/image-tools.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import { type RemoteSettings, resolveRemote } from '../../steps/remote.ts';
import type { BaseImageFinder } from '../base-images.ts';
import type { Lock, LockedCommit, LockedFile, LockedImage } from './document.ts';
import { isFixed, isOf, type KeyScope, keyOf } from './keys.ts';

export interface ResolverParts {
  readonly workplace: Workplace;
  readonly settings: RemoteSettings;
  readonly finder: BaseImageFinder;
  readonly signal: AbortSignal;
}

export type RemoteSource = Pick<Step, 'where'> & { readonly op: RemoteOperation };

export class Resolver implements BaseImages {
  readonly #parts: ResolverParts;
  readonly #client: RegistryClient;
  readonly #before: Lock;
  readonly #isUpdated: (key: string) => boolean;
  readonly #scope: KeyScope;
  readonly #images = new Map<string, Promise<LockedImage>>();
  readonly #remotes = new Map<string, { readonly identity: string; readonly found: Promise<LockedFile | LockedCommit> }>();

  /** `updated`: keys that do not count as locked; undefined: all of them. */
  constructor(parts: ResolverParts, before: Lock, updated: ReadonlySet<string> | undefined, scope: KeyScope) {
    this.#parts = parts;
    this.#client = new RegistryClient({ signal: parts.signal });
    this.#before = before;
    this.#isUpdated = (key) => updated === undefined || updated.has(key);
    this.#scope = scope;
  }

  /** For planning: an image's triggers are part of what is built. */
  async config(reference: string, platform: Platform): Promise<ImageConfig> {
    const { finder } = this.#parts;
    if (isFixed({ kind: 'image', reference, platform })) return finder.config(reference, platform);
    const { digest } = await this.#image(reference);
    return finder.config(`${reference}@${digest}`, platform);
  }

  /** With the images that planning has asked for. */
  async resolve(remotes: readonly RemoteSource[]): Promise<Pick<Lock, 'images' | 'urls' | 'git'>> {
    const images = new Map<string, LockedImage>();
    const urls = new Map<string, LockedFile>();
    const git = new Map<string, LockedCommit>();
    for (const [name, image] of this.#images) images.set(name, await image);
    await Promise.all(
      remotes.map(async ({ op, where }) => {
        try {
          const key = keyOf(op, this.#scope);
          const found = await this.#remote(key, op);
          if ('checksum' in found) urls.set(key, found);
          else git.set(key, found);
        } catch (error) {
          throw where ? withPlace(error, where) : error;
        }
      }),
    );
    return { images, urls, git };
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  #image(name: string): Promise<LockedImage> {
    const locked = this.#isUpdated(name) ? undefined : this.#before.images.get(name);
    const found = this.#images.get(name) ?? (locked ? Promise.resolve(locked) : this.#askRegistry(name));
    this.#images.set(name, found);
    return found;
  }

  async #askRegistry(name: string): Promise<LockedImage> {
    try {
      const { digest, manifests } = await findManifests(this.#client, name);
      const platforms = new Map<string, LockedImage['digest']>();
      for (const manifest of manifests) {
        const platform = manifest.platform ? formatPlatform(manifest.platform) : 'unknown';
        if (!platforms.has(platform)) platforms.set(platform, manifest.digest);
      }
      return { digest, platforms };
    } catch (error) {
      if (!(error instanceof TbuildError) || !this.#parts.finder.isHere(name)) throw error;
      const { code, message, cause, details } = error;
      const hint = 'what only the store of this machine has cannot be locked: push it, or make it a stage of the Dockerfile';
      throw new TbuildError(code, message, { cause, details, hint });
    }
  }

  #remote(key: string, op: RemoteOperation): Promise<LockedFile | LockedCommit> {
    const known = this.#remotes.get(key);
    const identity = op.kind === 'http' ? op.url : op.source.checksum;
    if (known !== undefined && known.identity !== identity) throw ambiguous(key);
    const locked = this.#isUpdated(key) ? undefined : this.#lockedRemote(key, op);
    const found = known?.found ?? (locked ? Promise.resolve(locked) : this.#ask(op));
    this.#remotes.set(key, { identity, found });
    return found;
  }

  #lockedRemote(key: string, op: RemoteOperation): LockedFile | LockedCommit | undefined {
    if (op.kind === 'http') return this.#before.urls.get(key);
    const locked = this.#before.git.get(key);
    return locked && isOf(locked, op) ? locked : undefined;
  }

  async #ask(op: RemoteOperation): Promise<LockedFile | LockedCommit> {
    const { workplace, settings, signal } = this.#parts;
    const places = { serve: workplace.serve, newPath: () => workplace.newPath(), storePath: workplace.store.path };
    const report = { output: () => {}, status: () => {}, signal };
    const { material } = await resolveRemote(places, settings, op, report);
    const { sha256, sha1 } = material.digest;
    if (op.kind === 'http') return { checksum: `sha256:${sha256}` };
    const ref = /#([^:]*)/.exec(material.uri)?.[1];
    return { commit: (sha1 ?? sha256) as string, ref: ref?.startsWith('refs/') ? ref : undefined };
  }
}

const ambiguous = (key: string): TbuildError =>
  new TbuildError('dockerfile/ambiguous-lock', `${key} is two sources, which differ in what a lock does not hold`, {
    hint: 'fix one of them in the Dockerfile, with --checksum: parameters that come by --build-arg are in no lock',
  });
