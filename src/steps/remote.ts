// Sources from far away: what they are now is asked first, and that names them; their files are fetched when a step has to have them.
// Loaded only by builds that have such a source.

import { mkdirSync } from 'node:fs';
import { canonicalJson, hexOf, sha256 } from '../base/digest.ts';
import { checkOutGit } from '../context/git/checkout.ts';
import type { GitPlaces } from '../context/git/clones.ts';
import type { GitAccess } from '../context/git/command.ts';
import { resolveGit } from '../context/git/refs.ts';
import { type Download, download, type HttpAccess, type HttpPlaces, takeDownload } from '../context/http/download.ts';
import { redactUrl } from '../http/url.ts';
import type { Serve } from '../native/serve.ts';
import type { GitOperation, HttpOperation, RemoteOperation } from '../plan/graph.ts';
import { remoteName } from '../plan/remote.ts';
import type { SshAgent } from '../sandbox/ssh-agent.ts';
import { LayerIndex } from '../snapshots/layer-index.ts';
import type { ContextResult, RemoteResult, Report } from './step.ts';

export interface RemoteSettings {
  /** Content of a secret; undefined: not given. */
  readonly secret: (id: string) => Buffer | undefined;
  /** An agent of --ssh; undefined: not given. */
  readonly ssh: (id: string) => SshAgent | undefined;
  /** Nothing that was received before is used. */
  readonly fresh: boolean;
}

/** Of a workshop or a workplace, what is needed here. */
export interface RemotePlaces {
  readonly serve: Serve;
  readonly newPath: () => string;
  readonly storePath: (...parts: string[]) => string;
}

export async function resolveRemote(
  places: RemotePlaces,
  settings: RemoteSettings,
  operation: RemoteOperation,
  report: Report,
): Promise<RemoteResult> {
  const result = await (operation.kind === 'http'
    ? resolveHttp(places, settings, operation, report)
    : resolveRepository(places, settings, operation, report));
  // Several steps may take from it: they share what is fetched.
  let opened: Promise<ContextResult> | undefined;
  return {
    ...result,
    open: (asking) => {
      opened ??= result.open(asking).then((context) => ({ ...context, material: result.material }));
      return opened;
    },
  };
}

/** With a checksum the server is not asked until the file is needed: what is the same by then has no time of the server's in its name (BuildKit: CacheKey). */
async function resolveHttp(
  places: RemotePlaces,
  settings: RemoteSettings,
  { url, name, checksum }: HttpOperation,
  report: Report,
): Promise<RemoteResult> {
  const source = { url, name, checksum };
  const at: HttpPlaces = { downloads: places.storePath('sources', 'http'), newPath: places.newPath };
  const accessOf = (asking: Report): HttpAccess => ({ ...settings, progress: sayProgress(asking), signal: asking.signal });
  const known: Download | undefined = checksum === undefined ? await download(source, at, accessOf(report)) : undefined;
  const open = async (asking: Report): Promise<ContextResult> => {
    const { root, modifiedAt } = await takeDownload(source, at, accessOf(asking), known);
    return { ...(await scan(places, root)), modifiedAt };
  };
  const told = canonicalJson({ kind: 'http', name, digest: checksum ?? known?.digest, modifiedAt: known?.modifiedAt });
  const digest = checksum ?? (known as Download).digest;
  const material = { uri: redactUrl(url), digest: { sha256: hexOf(digest) } };
  const timesFrom = known?.modifiedAt?.toString();
  return { kind: 'remote', material, digest: sha256(told), told, file: name, timesFrom, open };
}

async function resolveRepository(
  places: RemotePlaces,
  settings: RemoteSettings,
  { source }: GitOperation,
  report: Report,
): Promise<RemoteResult> {
  mkdirSync(places.storePath('sources'), { recursive: true, mode: 0o711 });
  const accessOf = ({ signal }: Report, sshSocket: string | undefined): GitAccess => ({
    secret: settings.secret,
    sshSocket,
    knownHosts: places.storePath('sources', 'known_hosts'),
    signal,
  });
  const at: GitPlaces = {
    serve: places.serve,
    clones: places.storePath('sources', 'git'),
    lockOf: (name) => places.storePath('locks', `git-${name}`),
    newPath: places.newPath,
  };
  const resolved = await withSshAgent(places, settings, (socket) => resolveGit(accessOf(report, socket), source));
  report.status(resolved.ref === undefined ? resolved.commit : `${resolved.commit}\t${resolved.ref}`);
  const open = async (asking: Report): Promise<ContextResult> => {
    const { root, modifiedAt } = await withSshAgent(places, settings, (socket) =>
      checkOutGit(accessOf(asking, socket), at, source, resolved),
    );
    return { ...(await scan(places, root)), modifiedAt };
  };
  const { keepGitDir, subdir, submodules, mtime } = source;
  // In .git the name of the ref can be seen, and the tag that it may be.
  const kept = keepGitDir ? { id: resolved.id, ref: resolved.ref, remote: sha256(source.remote) } : undefined;
  const told = canonicalJson({ kind: 'git', commit: resolved.commit, kept, subdir, submodules, mtime });
  const algorithm = resolved.commit.length === 64 ? 'sha256' : 'sha1';
  const uri = remoteName({ kind: 'git', source: { ...source, ref: resolved.ref ?? source.ref } });
  return {
    kind: 'remote',
    material: { uri, digest: { [algorithm]: resolved.commit } },
    digest: sha256(told),
    told,
    file: undefined,
    timesFrom: mtime === 'commit' ? resolved.commit : undefined,
    open,
  };
}

/** The one of --ssh; without it that of the user's session. */
async function withSshAgent<T>(
  { newPath }: RemotePlaces,
  { ssh }: RemoteSettings,
  work: (socket: string | undefined) => Promise<T>,
): Promise<T> {
  const agent = ssh('default');
  if (agent === undefined) return work(process.env.SSH_AUTH_SOCK);
  const { serveAgent } = await import('../sandbox/ssh-agent.ts');
  const served = await serveAgent(agent, newPath(), 0o600);
  try {
    return await work(served.address);
  } finally {
    await served.close();
  }
}

/** No ignore file counts in what was fetched (BuildKit: dockerui, MainContext). */
async function scan({ serve, newPath }: RemotePlaces, root: string): Promise<ContextResult> {
  const { index } = await serve.call('scan', { root, out: newPath() });
  return { kind: 'context', index: LayerIndex.read(index), files: { root }, owner: { uid: 0, gid: 0 } };
}

const PROGRESS_EVERY_MS = 5_000;

function sayProgress(report: Report): HttpAccess['progress'] {
  let saidMs = Date.now();
  return (bytes, of) => {
    if (Date.now() - saidMs < PROGRESS_EVERY_MS) return;
    saidMs = Date.now();
    report.status(`downloading ${megabytes(bytes)}${of === undefined ? '' : ` / ${megabytes(of)}`}`);
  };
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)}MB`;
