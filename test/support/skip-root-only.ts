// Set-up of the tests that build: skips what root-only.ts lists.
import path from 'node:path';
import { beforeEach } from 'vitest';
import { reasonToSkip } from './root-only.ts';
import { repository } from './tbuild.ts';

beforeEach(({ task, skip }) => {
  const names: string[] = [];
  for (let at: typeof task | typeof task.suite = task; at && at !== task.file; at = at.suite) names.unshift(at.name);
  const reason = reasonToSkip(path.relative(repository, task.file.filepath), names.join(' > '));
  if (reason !== undefined) skip(reason);
});
