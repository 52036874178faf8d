// Where the native binary is: beside the bundle; for sources, in the checkout's dist.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { TbuildError } from '../base/errors.ts';

export function runnerPath(): string {
  const folder = import.meta.filename.endsWith('.ts') ? join(import.meta.dirname, '../../dist') : import.meta.dirname;
  const path = join(folder, 'tbuild-runner');
  if (!existsSync(path)) {
    throw new TbuildError('native/missing', `the native binary is not at ${path}`, { hint: 'build it: npm run setup' });
  }
  return path;
}
