// What is said of a build in outputs of files: a layer on top with a file for each statement, which is of every file of the image (BuildKit:
// exporter/local/fs.go). Loaded only when something is said.

import { createHash } from 'node:crypto';
import { extname } from 'node:path';
import { type Digest, sha256 } from '../../base/digest.ts';
import { TbuildError } from '../../base/errors.ts';
import { type AttestedSubject, encodeStatement } from '../../images/attestations.ts';
import { type ImageFile, type ImageFiles, inTurns, openImageFiles } from '../../sbom/image-files.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import type { BuiltImage } from './built-image.ts';

/** What stands before and behind the name of each file. */
export interface Naming {
  readonly prefix: string;
  readonly suffix: string;
}

export async function attestationLayer(
  { serve, layers, driver, newPath }: Workplace,
  { state, said = [], epoch }: BuiltImage,
  { prefix, suffix }: Naming,
  signal: AbortSignal,
): Promise<{ readonly index: string; readonly data: string }> {
  const subjects = await hashAll(openImageFiles(layers, await layers.presentAll(state)), signal);
  const seconds = epoch ?? Math.floor(Date.now() / 1000);
  const entries = said
    .filter(({ isInlineOnly }) => !isInlineOnly)
    .map(({ predicate, filename }) => {
      const extension = extname(filename);
      const path = `${prefix}${filename.slice(0, filename.length - extension.length)}${suffix}${extension}`;
      const text = JSON.stringify(JSON.parse(encodeStatement(subjects, predicate).toString()), null, 2);
      const owner = { mode: 0o600, uid: 0, gid: 0, mtime: [seconds, 0] as const };
      return { path, type: 'file' as const, ...owner, text, size: Buffer.byteLength(text) };
    });
  const twice = entries.find(({ path }, position) => entries.findIndex((other) => other.path === path) < position);
  if (twice) throw new TbuildError('usage/conflict', `two attestations have the file name ${twice.path}`);
  return serve.call('writeLayer', { driver: driver.driver, out: newPath(), sources: [], entries });
}

/** Each file once for each of its names; equal contents are read once. */
async function hashAll(files: ImageFiles, signal: AbortSignal): Promise<AttestedSubject[]> {
  const digests = new Map<string, Digest>();
  const subjects: AttestedSubject[] = [];
  for await (const file of inTurns(files.all(), signal)) {
    const digest = digests.get(file.digest) ?? hashFile(files, file);
    digests.set(file.digest, digest);
    subjects.push({ name: file.path, digest });
  }
  return subjects;
}

const CHUNK_BYTES = 4 << 20;

function hashFile(files: ImageFiles, file: ImageFile): Digest {
  if (file.size <= CHUNK_BYTES) return sha256(files.read(file, 0, file.size));
  const state = createHash('sha256');
  for (let at = 0; at < file.size; at += CHUNK_BYTES) state.update(files.read(file, at, CHUNK_BYTES));
  return `sha256:${state.digest('hex')}`;
}
