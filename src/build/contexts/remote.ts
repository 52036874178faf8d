// A context from far away: a git repository, or what a URL gives: a tar, or a Dockerfile alone (BuildKit: dockerui/context.go). No ignore file counts
// in it. A Dockerfile is looked for inside, unless `-f` has an absolute path of this machine, or standard input (buildx: build/opt.go).

import { isAbsolute, join } from 'node:path';
import { debug } from '../../base/debug.ts';
import { assert, TbuildError } from '../../base/errors.ts';
import { parseBool } from '../../base/parse-bool.ts';
import { ARCHIVE_HEAD_BYTES, looksLikeArchive } from '../../context/archive-type.ts';
import { DOCKERFILE_MAX_BYTES, tooLarge } from '../../context/input.ts';
import { redactUrl } from '../../http/url.ts';
import type { RemoteOperation } from '../../plan/graph.ts';
import { remoteName } from '../../plan/remote.ts';
import { readContent } from '../../snapshots/contents.ts';
import type { Entry } from '../../snapshots/layer-index.ts';
import type { Workplace } from '../../snapshots/workplace.ts';
import { type RemoteSettings, resolveRemote } from '../../steps/remote.ts';
import type { ContextResult } from '../../steps/step.ts';
import { type DockerfileSource, readDockerfile } from '../dockerfile-source.ts';
import { openArchiveContext, readDockerfileIn } from './archive.ts';
import type { ContextOptions, MainContext } from './options.ts';
import { CONTEXT_FILE, operationOf, type RemoteArgument } from './remote-operation.ts';

export async function openRemote(
  workplace: Workplace,
  settings: RemoteSettings,
  argument: RemoteArgument,
  options: ContextOptions,
): Promise<MainContext> {
  const keepGitDir = parseBool(options.buildArgs.BUILDKIT_CONTEXT_KEEP_GIT_DIR ?? '') ?? false;
  const fetched = await fetchContext(workplace, settings, operationOf(argument, keepGitDir), options.signal);
  const label = redactUrl(argument.url);
  const file = argument.kind === 'http' ? fetched.index.find(CONTEXT_FILE) : undefined;
  const isArchive = file !== undefined && looksLikeArchive(readContent(file, fetched.files, ARCHIVE_HEAD_BYTES));
  const context = isArchive ? await openArchive(workplace, fetched, label) : fetched;
  const dockerfile =
    localDockerfile(options) ??
    (file === undefined || isArchive
      ? readDockerfileIn(context, options.dockerfile, label)
      : alone(fetched, file, label, options));
  return { dockerfile, material: fetched.material, open: async () => ({ ...context, material: fetched.material }) };
}

/** One of --build-context: a file from a URL is what it is, a tar too. */
export function openNamedRemote(
  workplace: Workplace,
  settings: RemoteSettings,
  operation: RemoteOperation,
  signal: AbortSignal,
): Promise<ContextResult> {
  return fetchContext(workplace, settings, operation, signal);
}

/** Returns the path of a file of this process. */
export async function downloadDockerfile(
  workplace: Workplace,
  settings: RemoteSettings,
  url: string,
  signal: AbortSignal,
): Promise<string> {
  const { index, files } = await fetchContext(workplace, settings, operationOf({ kind: 'http', url }, false), signal);
  const file = index.find(CONTEXT_FILE);
  assert('root' in files && file !== undefined, 'a download is a file');
  if (file.size > DOCKERFILE_MAX_BYTES) throw tooLarge(redactUrl(url));
  return join(files.root, CONTEXT_FILE);
}

async function fetchContext(
  { serve, newPath, store }: Workplace,
  settings: RemoteSettings,
  operation: RemoteOperation,
  signal: AbortSignal,
): Promise<ContextResult> {
  const say = (text: string) => debug(() => `${remoteName(operation)}: ${text}`);
  const report = { output: () => {}, status: say, signal };
  const places = { serve, newPath, storePath: store.path };
  const remote = await resolveRemote(places, settings, operation, report);
  return remote.open(report);
}

async function openArchive(workplace: Workplace, { files, modifiedAt }: ContextResult, label: string): Promise<ContextResult> {
  assert('root' in files, 'a download is a file');
  const context = await openArchiveContext(workplace, join(files.root, CONTEXT_FILE), label);
  return { ...context, modifiedAt: modifiedAt ?? context.modifiedAt };
}

function localDockerfile({ dockerfile }: ContextOptions): DockerfileSource | undefined {
  const isLocal = dockerfile !== undefined && (dockerfile === '-' || isAbsolute(dockerfile));
  return isLocal ? readDockerfile('/', dockerfile) : undefined;
}

function alone({ files }: ContextResult, file: Entry, label: string, { dockerfile }: ContextOptions): DockerfileSource {
  if (dockerfile !== undefined) {
    throw new TbuildError('usage/conflict', `${label} is a Dockerfile, and -f names another: there is no context`, {
      hint: 'leave out -f, or give the directory, the tar or the repository that is the context',
    });
  }
  if (file.size > DOCKERFILE_MAX_BYTES) throw tooLarge(label);
  return { bytes: readContent(file, files), name: label, path: undefined };
}
