// `--metadata-file`: what a build made, or why it made nothing, as one JSON document that appears whole. Loaded only when it is asked for.

import { writeFile } from 'node:fs/promises';
import { toErrorObject } from '../base/error-object.ts';
import { TbuildError } from '../base/errors.ts';
import type { Metadata } from '../build/outputs/metadata.ts';
import { placeFile } from '../images/place-file.ts';

export async function writeMetadata(path: string, metadata: Metadata): Promise<void> {
  try {
    await placeFile(path, (temporary, flag) => writeFile(temporary, JSON.stringify(metadata, null, 2), { flag }));
  } catch (cause) {
    throw new TbuildError('usage/unwritable-file', `the metadata of the build cannot be written to ${path}`, { cause });
  }
}

/** buildx writes nothing then. A RUN's own exit code, which is not tbuild's, stands here. */
export async function writeFailure(path: string, thrown: unknown): Promise<void> {
  const exitCode = thrown instanceof TbuildError ? thrown.details?.exitCode : undefined;
  const error = { ...toErrorObject(thrown), ...(exitCode !== undefined && { exitCode }) };
  // That it cannot be written is not what went wrong first.
  await writeMetadata(path, { 'tbuild.build.error': error }).catch(() => {});
}
