// A context that is a tar: unpacked once, and asked from its index. Its files keep the owners that it gives them, and an ignore file in it is a
// file like others (BuildKit: dockerui/context.go makes such a context as ADD would). Its Dockerfile is looked for inside.

import { TbuildError } from '../../base/errors.ts';
import { readContent } from '../../snapshots/contents.ts';
import { resolvePath, scannedTree } from '../../snapshots/tree.ts';
import { unpackArchive } from '../../snapshots/unpacked.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import type { ContextResult } from '../../steps/step.ts';
import type { DockerfileSource } from '../dockerfile-source.ts';

export async function openArchiveContext(workplace: Workplace, archive: string, label: string): Promise<ContextResult> {
  const unpacked = await unpackArchive(workplace, workplace.driver.driver, { archive, label: `the build context from ${label}` });
  if (unpacked) return { kind: 'context', ...unpacked, owner: undefined };
  throw new TbuildError(
    'context/bad-archive',
    `the build context from ${label} is compressed, and what is in it is damaged, or no tar`,
  );
}

/** `dockerfile`: what `-f` says, a path inside. */
export function readDockerfileIn(context: ContextResult, dockerfile: string | undefined, label: string): DockerfileSource {
  const candidates = dockerfile === undefined ? ['Dockerfile', 'dockerfile'] : [dockerfile];
  for (const name of candidates) {
    const entry = resolvePath(scannedTree(context.index), name, true)?.entry;
    if (entry === undefined) continue;
    if (entry.type !== 'file')
      throw new TbuildError('dockerfile/unreadable', `the Dockerfile ${name} in ${label} is a ${entry.type}`);
    return { bytes: readContent(entry, context.files), name, path: undefined };
  }
  throw new TbuildError('dockerfile/not-found', `there is no ${candidates[0]} in the build context from ${label}`, {
    hint: 'name the Dockerfile with -f: a path inside the context',
  });
}
