// Contents of regular files, from where they are: a layer's data file, or a directory that holds them under their names.

import { closeSync, constants, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { TbuildError } from '../base/errors.ts';
import { readAsOwner } from '../native/read-file.ts';
import type { LayerSource } from '../native/serve.ts';
import type { Entry } from './layer-index.ts';

/** Where in `files` the content of an entry is. */
export function placeOf(entry: Entry, files: LayerSource): string | number {
  return 'data' in files ? entry.offset : entry.path;
}

/** The content of a regular file, or its first `length` bytes. No parent of the entry is a link, or was not when the entry was made. */
export function readContent(entry: Entry, files: LayerSource, length = entry.size): Buffer {
  return readPart(entry, files, 0, length);
}

/** At most `length` bytes of it from `start` on. */
export function readPart(entry: Entry, files: LayerSource, start: number, length: number): Buffer {
  const [path, offset] = 'data' in files ? [files.data, entry.offset] : [join(files.root, entry.path), 0];
  const content = Buffer.alloc(Math.max(0, Math.min(length, entry.size - start)));
  // A context may change under us: neither a link is followed then nor a FIFO waited for.
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES' || 'data' in files) throw error;
    // In a layer of an account that is not root a file may belong to one of its further ids.
    return readAsOwner(path, start, content.length);
  }
  try {
    for (let done = 0; done < content.length; ) {
      const count = readSync(fd, content, done, content.length - done, offset + start + done);
      if (count === 0) throw new TbuildError('store/damaged', `${path} is cut short: ${entry.path} is not there whole`);
      done += count;
    }
  } finally {
    closeSync(fd);
  }
  return content;
}
