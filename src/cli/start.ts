// What node starts: the command's bundle, with the bytecode that V8 made of it the last time. Node's own compile cache keeps what is compiled
// when a file is loaded, but a function is compiled when it is first called, and a cached build calls two thousand. Here the bytecode of those
// that a command called is kept once it has ended well, a file for each command, in the user's cache directory.
// Believes only files that nobody but this user can have written. Without them all is as ever, and some 15 ms slower.

import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { Script } from 'node:vm';

/** Hex, of the bundle (setup/bundle.ts): V8 itself compares no more than its length. */
declare const BUNDLE_DIGEST: string;

/** Answered before the command's own work is begun: the code of that would be missing in what is kept, and go on missing. */
const QUESTIONS = /^(?:-h|--help|--version|--check|--call(?:=.*)?)$/;

start(join(import.meta.dirname, 'command.cjs'), process.argv.slice(2));

function start(bundle: string, args: readonly string[]): void {
  const file = codeFile(args[0] ?? '');
  const cachedData = file === undefined ? undefined : readOwn(file);
  // esbuild writes ASCII.
  const source = `(function(exports,require,module,__filename,__dirname){${readFileSync(bundle, 'latin1')}\n})`;
  const script = new Script(source, { filename: bundle, ...(cachedData && { cachedData }) });
  if (file !== undefined && (cachedData === undefined || script.cachedDataRejected)) {
    // After `run`, -v is a volume.
    const isQuestion = args.length === 0 || args[0] === '-v' || args.some((arg) => QUESTIONS.test(arg));
    process.once('exit', (exitCode) => {
      if (exitCode === 0 && !isQuestion) keep(file, script.createCachedData());
    });
  }
  script.runInThisContext()(exports, require, module, bundle, dirname(bundle));
}

/** A word that names no command ends in an error, and leaves nothing here. Undefined: who calls has no place for such things. */
function codeFile(firstWord: string): string | undefined {
  const { XDG_CACHE_HOME, HOME } = process.env;
  const caches = XDG_CACHE_HOME || (HOME && join(HOME, '.cache'));
  if (!caches) return undefined;
  const command = /^[a-z]+$/.test(firstWord) && !existsSync(firstWord) ? firstWord : 'build';
  return join(caches, 'tbuild/code', `${BUNDLE_DIGEST}-${process.version}-${process.arch}`, command);
}

function readOwn(file: string): Buffer | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(file, 'r');
    const { uid, mode } = fstatSync(fd);
    return uid === process.geteuid?.() && (mode & 0o022) === 0 ? readFileSync(fd) : undefined;
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Several processes may do so at once. Where nothing can be kept, nothing is. */
function keep(file: string, code: Buffer): void {
  const unfinished = `${file}.${process.pid}`;
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(unfinished, code, { mode: 0o600 });
    renameSync(unfinished, file);
    removeOld(dirname(dirname(file)));
  } catch {
    if (existsSync(unfinished)) rmSync(unfinished);
  }
}

/** What other bundles and other Nodes have left. One that is still in use makes its files anew. */
function removeOld(directory: string): void {
  const monthAgo = Date.now() - 30 * 24 * 3600 * 1000;
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    if (statSync(path).mtimeMs < monthAgo) rmSync(path, { recursive: true, force: true });
  }
}
