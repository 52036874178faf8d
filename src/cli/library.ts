// What the command line needs from the floors below, as one interface: commands call this and nothing else.
// Each function loads its module when it is first called, so that no command pays for another's imports.

import type { Readable, Writable } from 'node:stream';
import type { BuildEvent } from '../build/events.ts';
import type { ImageConfig } from '../oci/config.ts';

export interface BuildOptions {
  /** Unset: TBUILD_ROOT, else the default place. */
  readonly root?: string;
  /** A directory, a URL, or `-`: standard input. */
  readonly context: string;
  /** Relative to the working directory; `-`: standard input; unset: `Dockerfile` in the context. */
  readonly dockerfile?: string;
  readonly buildArgs: Record<string, string>;
  readonly target?: string;
  readonly tags: string[];
  readonly labels: Record<string, string>;
  readonly noCache: boolean;
  readonly secrets: BuildSecret[];
  readonly network: 'default' | 'host' | 'none';
  readonly outputs: BuildOutput[];
  readonly onEvent: (event: BuildEvent) => void;
  readonly signal: AbortSignal;
}

/** Exactly one of `file` and `env` is set. */
export interface BuildSecret {
  readonly id: string;
  readonly file?: string;
  readonly env?: string;
}

export interface BuildOutput {
  readonly type: 'oci' | 'docker';
  /** A file, a directory when `tar` is false; `-`: standard output. */
  readonly destination: string;
  readonly tar: boolean;
  readonly name?: string;
}

export interface RunOptions {
  readonly image: string;
  /** Empty: the image's own. */
  readonly command: string[];
  readonly remove: boolean;
  readonly interactive: boolean;
  readonly tty: boolean;
  /** `NAME=value`, in the order in which they win. */
  readonly env: string[];
  readonly volumes: string[];
  readonly workdir?: string;
  readonly user?: string;
  /** `''` takes the image's away. */
  readonly entrypoint?: string;
  readonly network: 'default' | 'host' | 'none';
  readonly name?: string;
  readonly readOnly: boolean;
  readonly hostname?: string;
}

/** An image and one of its names; an image with no name is listed once, without. */
export interface ImageRow {
  /** As people write it: `app`, `ghcr.io/org/app`. */
  readonly repository: string | undefined;
  readonly tag: string | undefined;
  /** Of the manifest, `sha256:…`. */
  readonly digest: string;
  /** Of the config, `sha256:…`. */
  readonly id: string;
  /** RFC 3339, from the config. */
  readonly created: string | undefined;
  readonly sizeBytes: number;
}

export interface ImageDetails {
  readonly id: string;
  readonly digest: string;
  /** As people write them, with their tags: `app:latest`. */
  readonly names: readonly string[];
  readonly config: ImageConfig;
  /** In the order of `config.rootfs.diff_ids`. */
  readonly layerSizesBytes: readonly number[];
}

export interface RemovedImage {
  readonly untagged: readonly string[];
  /** Image IDs. */
  readonly deleted: readonly string[];
}

export interface LoadOptions {
  readonly source:
    | { readonly archive: string }
    | { readonly stream: Readable }
    | { readonly layout: string; readonly name: string | undefined };
}

export interface LoadedImage {
  readonly id: string;
  readonly names: readonly string[];
}

export interface SaveOptions {
  readonly images: readonly string[];
  readonly format: 'docker' | 'oci';
  readonly output: { readonly path: string } | { readonly stream: Writable };
}

export interface StoreReport {
  readonly images: number;
  readonly layers: number;
  readonly blobs: number;
  /** A sentence each; empty: all is well. */
  readonly problems: readonly string[];
}

export interface StoreInfo {
  readonly root: string;
  readonly driver: string;
  /** Why that driver and no other. */
  readonly driverReasons: readonly string[];
  readonly images: number;
  readonly layers: number;
  readonly sizeBytes: number;
  readonly kernel: string;
  readonly runtime: string;
}

export interface Library {
  buildImage(options: BuildOptions): Promise<{ image: string; names: string[] }>;
  runContainer(options: RunOptions): Promise<number>;
  listImages(): Promise<readonly ImageRow[]>;
  describeImage(name: string): Promise<ImageDetails>;
  tagImage(source: string, target: string): Promise<void>;
  removeImage(name: string, options: { readonly force: boolean }): Promise<RemovedImage>;
  loadImages(options: LoadOptions): Promise<readonly LoadedImage[]>;
  saveImages(options: SaveOptions): Promise<void>;
  checkStore(): Promise<StoreReport>;
  describeStore(): Promise<StoreInfo>;
}
