// Writes a one-layer OCI image layout from a tar stream, with nothing of tbuild's own: what makes the inputs must not share its faults.
// The directory must not exist yet; its bytes depend on the arguments alone.
import { createHash, hash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

export interface ImageSettings {
  readonly created: string;
  readonly createdBy: string;
  /** The `config` of the image: Env, Cmd and so on. */
  readonly config: Readonly<Record<string, unknown>>;
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export async function writeLayout(directory: string, tar: Readable, settings: ImageSettings): Promise<void> {
  const blobs = path.join(directory, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const { layer, diffId } = await writeLayer(blobs, tar);
  const platform = { architecture: process.arch === 'x64' ? 'amd64' : process.arch, os: 'linux' };
  const config = await writeDocument(blobs, 'application/vnd.oci.image.config.v1+json', {
    created: settings.created,
    ...platform,
    config: settings.config,
    rootfs: { type: 'layers', diff_ids: [diffId] },
    history: [{ created: settings.created, created_by: settings.createdBy }],
  });
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = await writeDocument(blobs, mediaType, { schemaVersion: 2, mediaType, config, layers: [layer] });
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [{ ...manifest, platform, annotations: { 'org.opencontainers.image.ref.name': 'latest' } }],
  };
  await writeFile(path.join(directory, 'index.json'), JSON.stringify(index));
  await writeFile(path.join(directory, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
}

async function writeLayer(blobs: string, tar: Readable): Promise<{ layer: Descriptor; diffId: string }> {
  const plain = new Tally();
  const zipped = new Tally();
  const unnamed = path.join(blobs, 'layer.tmp');
  await pipeline(tar, plain, createGzip({ level: 6 }), zipped, createWriteStream(unnamed));
  const digest = zipped.digest();
  await rename(unnamed, path.join(blobs, digest.slice('sha256:'.length)));
  const layer = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size: zipped.sizeBytes };
  return { layer, diffId: plain.digest() };
}

async function writeDocument(blobs: string, mediaType: string, document: unknown): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(document));
  const hex = hash('sha256', bytes);
  await writeFile(path.join(blobs, hex), bytes);
  return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
}

/** Counts and hashes what passes through. */
class Tally extends Transform {
  readonly #hash = createHash('sha256');
  sizeBytes = 0;

  override _transform(chunk: Buffer, _encoding: string, done: (error: null, chunk: Buffer) => void): void {
    this.#hash.update(chunk);
    this.sizeBytes += chunk.length;
    done(null, chunk);
  }

  digest(): string {
    return `sha256:${this.#hash.digest('hex')}`;
  }
}
