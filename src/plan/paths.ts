// Paths in the image: absolute ones are kept, others stand below the working directory (BuildKit: util/system/path.go).

import path from 'node:path';

const { posix } = path;

/** WorkingDir as the config keeps it: an absolute path as it was written, a relative one joined and cleaned. */
export function nextWorkdir(current: string, written: string): string {
  const parent = current === '' ? '/' : posix.join('/', current);
  if (written === '') return parent;
  return posix.isAbsolute(written) ? written : cleanPath(posix.join(parent, written));
}

/** Absolute and clean, without a trailing slash. */
export function cleanPath(name: string): string {
  const clean = posix.join('/', name);
  return clean.length > 1 && clean.endsWith('/') ? clean.slice(0, -1) : clean;
}

/** Where COPY writes: a trailing slash, `.` or nothing means a directory, and that is kept as a slash. */
export function copyDestination(workdir: string, written: string): string {
  const isDirectory = written === '' || written === '.' || written.endsWith('/') || written.endsWith('/.');
  const clean = cleanPath(posix.isAbsolute(written) ? written : posix.join('/', workdir, written));
  return isDirectory && clean !== '/' ? `${clean}/` : clean;
}

/** A mount's target below the working directory. */
export function mountTarget(workdir: string, written: string): string {
  return cleanPath(posix.isAbsolute(written) ? written : posix.join('/', workdir, written));
}
