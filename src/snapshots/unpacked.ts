// An archive that a user gave (no image's layer), unpacked into files of this process: its tree as an index, its contents beside it.
// Nothing of it is ever made on the file system under a name of its own, so no name in it can lead anywhere. How much it may come to is limited.

import { statSync } from 'node:fs';
import { TbuildError } from '../base/errors.ts';
import type { Driver, LayerSource, Serve } from '../native/serve.ts';
import { LayerIndex } from './layer-index.ts';

export interface Unpacked {
  readonly index: LayerIndex;
  readonly files: LayerSource;
}

export interface UnpackArchiveOptions {
  readonly archive: string;
  /** What messages call it. */
  readonly label: string;
  /** BLAKE3 of the archive's bytes, where it is a file that someone may be changing. */
  readonly digest?: string;
  readonly hint?: string;
}

const badArchive = ['native/bad-archive', 'native/bad-entry', 'native/too-large', 'native/not-utf8'];

/** Undefined: it does not begin as a tar does. Throws `context/bad-archive`, `context/too-large`, and `context/changed` for another digest. */
export async function unpackArchive(
  workplace: { readonly serve: Serve; readonly newPath: () => string },
  driver: Driver,
  { archive, label, digest, hint }: UnpackArchiveOptions,
): Promise<Unpacked | undefined> {
  const { maxBytes, why, hint: more } = unpackedLimit(statSync(archive, { throwIfNoEntry: false })?.size ?? 0);
  try {
    const { index, data } = await workplace.serve.call('unpack', {
      driver,
      out: workplace.newPath(),
      archive,
      whiteouts: false,
      split: false,
      maxBytes,
      ...(digest !== undefined && { digest }),
    });
    return { index: LayerIndex.read(index), files: driver === 'erofs' ? { data } : { root: data } };
  } catch (error) {
    if (!(error instanceof TbuildError)) throw error;
    if (error.code === 'native/no-archive') return undefined;
    if (error.code === 'native/over-limit') {
      throw new TbuildError('context/too-large', `cannot extract ${label}: it unpacks to more than ${why}`, { hint: more });
    }
    if (!badArchive.includes(error.code)) throw error;
    throw new TbuildError('context/bad-archive', `cannot extract ${label}: ${error.message}`, { cause: error, hint });
  }
}

const VARIABLE = 'TBUILD_MAX_UNPACKED';
const MAX_BYTES = 64 * 2 ** 30;
/** What archives of programs and data compress to is far less; below the size nobody is hurt. */
const MAX_RATIO = 1000;
const HARMLESS_BYTES = 2 ** 30;

export interface UnpackedLimit {
  readonly maxBytes: number;
  /** What it is, for messages. */
  readonly why: string;
  readonly hint: string;
}

/** Against archives that are made to fill disks: small ones that unpack to a great deal, and any that would take a disk as a whole. */
export function unpackedLimit(archiveBytes: number): UnpackedLimit {
  const hint = `if that is meant, set ${VARIABLE} to what it may come to, as in ${VARIABLE}=200g`;
  const asked = process.env[VARIABLE];
  if (asked !== undefined && asked !== '') return { maxBytes: parseSize(asked), why: `${asked} (${VARIABLE})`, hint };
  const byRatio = Math.max(HARMLESS_BYTES, archiveBytes * MAX_RATIO);
  if (byRatio >= MAX_BYTES) return { maxBytes: MAX_BYTES, why: '64 GiB', hint };
  if (byRatio > HARMLESS_BYTES) return { maxBytes: byRatio, why: `${MAX_RATIO} times its size`, hint };
  return { maxBytes: HARMLESS_BYTES, why: `1 GiB, and more than ${MAX_RATIO} times its size`, hint };
}

function parseSize(text: string): number {
  const [, digits, unit] = /^(\d{1,15})([kmgt]?)b?$/i.exec(text) ?? [];
  const bytes = Number(digits) * 1024 ** ' kmgt'.indexOf(unit?.toLowerCase() || ' ');
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new TbuildError('usage/bad-value', `${VARIABLE} is no size: "${text}"`, { hint: 'as in 500m, 200g or 2t' });
}
