// ADD's sources that are not in a context: what a URL says that is to be fetched, and what the instruction's flags add to it
// (BuildKit: dockerfile2llb/convert_copy.go). Asks nobody.

import { posix } from 'node:path';
import type { Digest } from '../base/digest.ts';
import { checkChecksum, type GitSource, parseGitUrl } from '../context/git/url.ts';
import { dockerfileError, locate } from '../dockerfile/errors.ts';
import type { AddInstruction, CopyInstruction } from '../dockerfile/instructions.ts';
import { redactUrl } from '../http/url.ts';
import type { GitOperation, HttpOperation, RemoteOperation } from './graph.ts';

/** Undefined: a path. `source` and `checksum` are expanded already. */
export function readRemote(
  instruction: AddInstruction | CopyInstruction,
  source: string,
  checksum: string,
): RemoteOperation | undefined {
  const isAdd = instruction.kind === 'add';
  // Whoever says what is to become of .git says that it is git.
  const git = parseGitUrl(source, isAdd && instruction.keepGitDir !== undefined);
  const isHttp = git === undefined && /^https?:\/\//.test(source);
  if (!isAdd) {
    if (git === undefined && !isHttp) return undefined;
    const what = git === undefined ? 'URL' : 'git ref';
    throw dockerfileError('remote-source', `source can't be a ${what} for COPY: ${redactUrl(source)}`, undefined, 'ADD takes it');
  }
  const flag = instruction.places.flagValue('checksum');
  if (checksum !== '' && instruction.sources.length !== 1) {
    throw dockerfileError('checksum', "checksum can't be specified for multiple sources", flag);
  }
  if (git !== undefined) return gitOperation(git, instruction, checksum);
  if (isHttp) return httpOperation(source, checksum === '' ? undefined : locate(flag, () => readDigest(checksum)));
  if (checksum !== '') throw dockerfileError('checksum', 'checksum requires HTTP(S) or Git sources', flag);
  return undefined;
}

function gitOperation(source: GitSource, { keepGitDir, places }: AddInstruction, checksum: string): GitOperation {
  const flag = places.flagValue('checksum');
  locate(flag, () => checkChecksum(checksum));
  if (keepGitDir !== undefined && source.keepGitDir !== undefined && keepGitDir !== source.keepGitDir) {
    throw dockerfileError('keep-git-dir', 'inconsistent keep-git-dir configuration', places.flagValue('keep-git-dir'));
  }
  if (checksum !== '' && source.checksum !== '' && checksum !== source.checksum) {
    throw dockerfileError('checksum', `checksum mismatch "${checksum}" != "${source.checksum}"`, flag);
  }
  return {
    kind: 'git',
    source: {
      ...source,
      keepGitDir: source.keepGitDir ?? keepGitDir,
      checksum: source.checksum || checksum.toLowerCase(),
    },
  };
}

function httpOperation(url: string, checksum: Digest | undefined): HttpOperation {
  if (!URL.canParse(url)) throw dockerfileError('url', `${JSON.stringify(redactUrl(url))} is no valid URL`);
  return { kind: 'http', url, name: fileName(url), checksum };
}

/** The last name of the path; what a server calls the file counts for nothing (BuildKit gives the name along with the URL). */
function fileName(url: string): string {
  let name: string;
  try {
    name = posix.basename(decodeURIComponent(new URL(url).pathname));
  } catch {
    return unnamed;
  }
  if (name === '' || name === '.' || name === '..' || name.includes('\0')) return unnamed;
  if (Buffer.byteLength(name) > 255) throw dockerfileError('url', `the file name in ${redactUrl(url)} is longer than 255 bytes`);
  return name;
}

const unnamed = '__unnamed__';

/** A download is compared by SHA-256 alone, with BuildKit too: another digest never matches there. */
function readDigest(checksum: string): Digest {
  const [, algorithm, hex = ''] = /^([a-z0-9]+(?:[+._-][a-z0-9]+)*):([a-fA-F0-9]+)$/.exec(checksum) ?? [];
  if (algorithm === undefined)
    throw dockerfileError('checksum', `invalid checksum digest format: ${checksum}`, undefined, digestHint);
  if (algorithm !== 'sha256')
    throw dockerfileError('checksum', `unsupported digest algorithm: ${algorithm}`, undefined, digestHint);
  if (!/^[a-f0-9]{64}$/.test(hex))
    throw dockerfileError('checksum', `invalid checksum digest length: ${checksum}`, undefined, digestHint);
  return `sha256:${hex}`;
}

const digestHint = 'as in --checksum=sha256: and 64 hex digits in lower case';

/** As a step that fetches is shown. */
export function remoteName(op: RemoteOperation): string {
  if (op.kind === 'http') return redactUrl(op.url);
  const { remote, ref, subdir } = op.source;
  const fragment = subdir === '' ? ref : `${ref}:${subdir}`;
  return redactUrl(remote) + (fragment === '' ? '' : `#${fragment}`);
}
