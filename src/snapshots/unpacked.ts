// An archive that a user gave (no image's layer), unpacked into files of this process: its tree as an index, its contents beside it.
// Nothing of it is ever made on the file system under a name of its own, so no name in it can lead anywhere.

import { TbuildError } from '../base/errors.ts';
import type { Driver, LayerSource, Serve } from '../native/serve.ts';
import { LayerIndex } from './layer-index.ts';

export interface Unpacked {
  readonly index: LayerIndex;
  readonly files: LayerSource;
}

const badArchive = ['native/bad-archive', 'native/bad-entry', 'native/too-large', 'native/not-utf8'];

/** Undefined: it does not begin as a tar does. Throws `context/bad-archive`; `label` is what messages call it. */
export async function unpackArchive(
  workplace: { readonly serve: Serve; readonly newPath: () => string },
  driver: Driver,
  { archive, label, hint }: { archive: string; label: string; hint?: string },
): Promise<Unpacked | undefined> {
  try {
    const out = workplace.newPath();
    const { index, data } = await workplace.serve.call('unpack', { driver, out, archive, whiteouts: false, split: false });
    return { index: LayerIndex.read(index), files: driver === 'erofs' ? { data } : { root: data } };
  } catch (error) {
    if (!(error instanceof TbuildError)) throw error;
    if (error.code === 'native/no-archive') return undefined;
    if (!badArchive.includes(error.code)) throw error;
    throw new TbuildError('context/bad-archive', `cannot extract ${label}: ${error.message}`, { cause: error, hint });
  }
}
