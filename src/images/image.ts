// An image as the store knows it, and what arrives from outside before it is one.

import type { Digest } from '../base/digest.ts';
import type { ImageConfig, Platform } from '../oci/config.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Attestation } from './attestations.ts';

export interface Image {
  /** Digest of the config's bytes. */
  readonly id: Digest;
  readonly config: ImageConfig;
  /** The config's exact bytes. */
  readonly configText: string;
  /** In full (`docker.io/library/app:latest`), sorted; empty: dangling, or part of an index that has the name. */
  readonly names: readonly string[];
  /** Layer ids, bottom first. */
  readonly layers: readonly Digest[];
  /** The manifest it came with, if it came from outside. */
  readonly manifest: Digest | undefined;
  /** Of the contents of all layers. */
  readonly sizeBytes: number;
  /** When it entered the store, in ms since the epoch. */
  readonly added: number;
  /** When it last got a name, in ms; undefined: it has none. */
  readonly tagged: number | undefined;
}

/** Images for several platforms under one name. */
export interface ImageIndex {
  /** Digest of the document. */
  readonly id: Digest;
  /** The OCI index: as it came, or as it is saved with layers that are not compressed. */
  readonly document: string;
  /** In full, sorted; empty: dangling. */
  readonly names: readonly string[];
  /** In the order of the document; never empty. */
  readonly images: readonly PlatformImage[];
  /** When it entered the store, in ms since the epoch. */
  readonly added: number;
  /** When it last got a name, in ms; undefined: it has none. */
  readonly tagged: number | undefined;
}

export interface PlatformImage {
  /** As the index says it: often more exactly than the image's own config. */
  readonly platform: Platform;
  readonly image: Image;
}

/** A layer on its way in. Nothing about its bytes needs to be checked yet. */
export type IncomingLayer = NearLayer | FarLayer;

/** One in an archive or a layout. */
export interface NearLayer {
  readonly diffId: Digest;
  /** What a manifest says of its blob; undefined: none speaks of it (docker-archive), and no blob is kept. */
  readonly blob: Descriptor | undefined;
  /** Writes the blob, or the plain tar, to a new file `to` of the store's file system. */
  fetch(to: string): Promise<void>;
}

/** One in a registry: unpacked while it arrives, and kept as soon as it is whole, so that nobody needs to fetch it again. */
export interface FarLayer {
  readonly diffId: Digest;
  readonly blob: Descriptor;
  /** The registry it comes from. */
  readonly from: string;
  /** The blob's bytes. */
  open(): AsyncIterable<Uint8Array>;
}

/** An image on its way in: what an archive, a layout or a registry gives. Documents are checked against their digests, layers are not. */
export interface IncomingImage {
  /** What messages call it. */
  readonly label: string;
  readonly config: Buffer;
  readonly manifest: Buffer | undefined;
  readonly layers: readonly IncomingLayer[];
  /** In full. */
  readonly names: readonly string[];
}

/** Images for several platforms on their way in. */
export interface IncomingIndex {
  readonly label: string;
  /** Undefined: what holds them holds other things too, or lacks some of them. */
  readonly document: Buffer | undefined;
  readonly platforms: readonly { readonly platform: Platform; readonly image: IncomingImage }[];
  /** What is said of its images beside them. */
  readonly attestations: readonly Attestation[];
  /** In full. */
  readonly names: readonly string[];
}
