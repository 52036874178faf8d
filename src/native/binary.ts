// Where the native binary is: in dist, beside the bundle; from the sources, in the checkout's dist.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { TbuildError } from '../base/errors.ts';

export function runnerPath(): string {
  const dist = import.meta.filename.endsWith('.ts') ? join(import.meta.dirname, '../../dist') : import.meta.dirname;
  const path = join(dist, 'tbuild-runner');
  if (!existsSync(path)) {
    throw new TbuildError('native/missing', `the native binary is not at ${path}`, { hint: 'build it: npm run setup' });
  }
  return path;
}
