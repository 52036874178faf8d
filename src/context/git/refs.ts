// Which commit a source is now: what its remote says of its refs, held against the checksum (BuildKit: source/git, resolveMetadata).

import { TbuildError } from '../../base/errors.ts';
import { redactUrl } from '../../http/url.ts';
import { type GitAccess, runGit } from './command.ts';
import { remoteCall, remotely } from './remote.ts';
import { type GitSource, isCommit } from './url.ts';

export interface ResolvedGit {
  /** What was asked for: the commit, or the annotated tag of it. */
  readonly id: string;
  /** The same as a commit, where the remote said so. */
  readonly commit: string;
  /** `refs/heads/main`; undefined: a commit was asked for. */
  readonly ref: string | undefined;
}

/** Asks the remote, unless the source names a whole commit. */
export async function resolveGit(access: GitAccess, source: GitSource): Promise<ResolvedGit> {
  const { ref, checksum } = source;
  const given = source.fetchByCommit ? checksum : ref;
  if (isCommit(given)) {
    if (!given.startsWith(checksum)) throw wrongCommit(checksum, given);
    return { id: given, commit: given, ref: isCommit(ref) || ref === '' ? undefined : ref };
  }
  const wanted = ref === '' ? ['--symref', '--', source.remote, 'HEAD'] : ['--', source.remote, ref, `${ref}^{}`];
  const answer = await remotely(source.remote, () =>
    runGit(access, remoteCall(access, source.remote, source.remote), ['ls-remote', ...wanted]),
  );
  const resolved = ref === '' ? findHead(answer) : findRef(answer, ref);
  if (resolved === undefined) {
    const what = ref === '' ? 'a default branch' : `ref ${ref}`;
    throw new TbuildError('context/git-ref', `repository does not contain ${what}: ${redactUrl(source.remote)}`, {
      hint: /^[0-9a-f]{4,39}$/.test(ref) ? 'a commit is named by all of its 40 digits' : undefined,
    });
  }
  if (!resolved.id.startsWith(checksum) && !resolved.commit.startsWith(checksum)) {
    throw wrongCommit(checksum, resolved.id === resolved.commit ? resolved.id : `${resolved.id} or ${resolved.commit}`);
  }
  return resolved;
}

const wrongCommit = (checksum: string, found: string): TbuildError =>
  new TbuildError('context/checksum', `expected checksum to match ${checksum}, got ${found}`);

function findHead(answer: string): ResolvedGit | undefined {
  const branch = /^ref: (refs\/heads\/\S+)\tHEAD$/m.exec(answer)?.[1];
  const id = /^([0-9a-f]+)\tHEAD$/m.exec(answer)?.[1];
  return id !== undefined && isCommit(id) ? { id, commit: id, ref: branch ?? 'HEAD' } : undefined;
}

/** A branch goes before a tag of its name, as with git checkout. */
function findRef(answer: string, ref: string): ResolvedGit | undefined {
  const ids = new Map(answer.split('\n').map((line) => line.split('\t').reverse() as [string, string]));
  const short = (prefix: string) => prefix + (ref.startsWith(prefix) ? ref.slice(prefix.length) : ref);
  for (const name of [short('refs/'), short('refs/heads/'), short('refs/tags/')]) {
    const id = ids.get(name);
    if (id !== undefined && isCommit(id)) return { id, commit: ids.get(`${name}^{}`) ?? id, ref: name };
  }
  return undefined;
}
