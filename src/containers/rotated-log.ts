// Lines of a log whose files are `log`, `log.1` and so on, the newest first, read while they are written and renamed. Writes nothing.

import { closeSync, type FSWatcher, fstatSync, openSync, readSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';

export interface LinesOptions {
  /** Only so many of the last ones. */
  readonly tail?: number | undefined;
  /** Whether there may be more later; unset: what there is now is all. Asked before each look, so that the last words are read. */
  readonly goesOn?: (() => boolean) | undefined;
  readonly signal: AbortSignal;
}

/** In the order they were written, many at a time, without their ends. */
export async function* readLines(directory: string, { tail, goesOn, signal }: LinesOptions): AsyncGenerator<readonly string[]> {
  const watched = goesOn && watchDirectory(directory, signal);
  const files = openFiles(directory);
  try {
    let isOpen = goesOn?.() ?? false;
    skipAllBut(files, tail);
    for (;;) {
      let isQuiet = true;
      for (const lines of readFiles(files, goesOn === undefined)) {
        isQuiet = false;
        yield lines;
      }
      if (signal.aborted) return;
      if (goesOn && moveOn(directory, files)) continue;
      if (!isOpen) return;
      isOpen = goesOn?.() ?? false;
      if (isOpen && isQuiet) await watched?.changed();
    }
  } finally {
    watched?.close();
    for (const { fd } of files) closeSync(fd);
  }
}

interface LogFile {
  readonly fd: number;
  readonly inode: number;
  /** How far it has been read. */
  position: number;
  /** How long it was when it was opened. */
  readonly sizeBytes: number;
  /** The beginning of a line whose end is not written yet. */
  rest: Buffer;
}

const nameOf = (number: number): string => (number === 0 ? 'log' : `log.${number}`);

/** Oldest first. From the newest on: one that is renamed meanwhile is met again, and known. There is no `log` between a rename and the next line. */
function openFiles(directory: string): LogFile[] {
  const files: LogFile[] = [];
  for (let number = 0; ; number++) {
    const file = openFile(join(directory, nameOf(number)));
    if (file === undefined && number > 0) return files;
    if (file === undefined) continue;
    if (files.some(({ inode }) => inode === file.inode)) closeSync(file.fd);
    else files.unshift(file);
  }
}

function openFile(path: string): LogFile | undefined {
  try {
    const fd = openSync(path, 'r');
    const { ino: inode, size: sizeBytes } = fstatSync(fd);
    return { fd, inode, position: 0, sizeBytes, rest: Buffer.alloc(0) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

const BLOCK_BYTES = 256 * 1024;

/** From the end back, a block at a time, until there are lines enough. */
function skipAllBut(files: LogFile[], lines: number | undefined): void {
  if (lines === undefined) return;
  let left = lines;
  for (let at = files.length - 1; at >= 0; at--) {
    const file = files[at]!;
    if (left <= 0) file.position = file.sizeBytes;
    else left -= skipInFile(file, left);
  }
}

/** Returns how many lines are left in it, at most `most`. */
function skipInFile(file: LogFile, most: number): number {
  const block = Buffer.alloc(BLOCK_BYTES);
  let found = 0;
  // The newline at the end ends the last line, and begins none.
  for (let end = file.sizeBytes - 1; end > 0; ) {
    const from = Math.max(0, end - BLOCK_BYTES);
    const length = readSync(file.fd, block, 0, end - from, from);
    for (let at = block.lastIndexOf(10, length - 1); at >= 0; at = at === 0 ? -1 : block.lastIndexOf(10, at - 1)) {
      found++;
      if (found < most) continue;
      file.position = from + at + 1;
      return found;
    }
    end = from;
  }
  return file.sizeBytes > 0 ? found + 1 : 0;
}

/** `isBounded`: as much as there was when they were opened, however fast more is written. */
function* readFiles(files: readonly LogFile[], isBounded: boolean): Generator<string[]> {
  const block = Buffer.alloc(BLOCK_BYTES);
  for (const file of files) {
    for (;;) {
      const most = isBounded ? Math.min(BLOCK_BYTES, file.sizeBytes - file.position) : BLOCK_BYTES;
      const length = most <= 0 ? 0 : readSync(file.fd, block, 0, most, file.position);
      if (length === 0) break;
      file.position += length;
      const text = Buffer.concat([file.rest, block.subarray(0, length)]);
      const end = text.lastIndexOf(10) + 1;
      file.rest = Buffer.from(text.subarray(end));
      if (end > 0) yield text.toString('utf8', 0, end - 1).split('\n');
    }
  }
}

/** When the newest file that is read has another name by now, those after it come to the list: true. */
function moveOn(directory: string, files: LogFile[]): boolean {
  const last = files.at(-1);
  if (last !== undefined && statSync(join(directory, 'log'), { throwIfNoEntry: false })?.ino === last.inode) return false;
  const now = openFiles(directory);
  const known = now.findIndex(({ inode }) => inode === last?.inode);
  const newer = now.slice(known + 1);
  for (const { fd } of now.slice(0, known + 1)) closeSync(fd);
  if (newer.length === 0) return false;
  // What was written to the last one before it was renamed is still to be read, and it is.
  const done = files.splice(0, Math.max(0, files.length - 1));
  for (const { fd } of done) closeSync(fd);
  files.push(...newer);
  return true;
}

/** Without an event for so long, it is looked again: a monitor that is killed makes none. */
const LOOK_AGAIN_MS = 500;

interface Watch {
  /** Resolves when something has happened since the last call, or might have. */
  changed(): Promise<void>;
  close(): void;
}

function watchDirectory(directory: string, signal: AbortSignal): Watch {
  let hasChanged = false;
  let wake = (): void => {};
  const note = (): void => {
    hasChanged = true;
    wake();
  };
  let watcher: FSWatcher | undefined;
  try {
    watcher = watch(directory, note).on('error', note);
  } catch {
    // No watch to be had, or the directory is gone: the timer does it.
  }
  signal.addEventListener('abort', note);
  const changed = async (): Promise<void> => {
    if (!hasChanged) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, LOOK_AGAIN_MS);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    hasChanged = signal.aborted;
  };
  const close = (): void => {
    watcher?.close();
    signal.removeEventListener('abort', note);
  };
  return { changed, close };
}
