// RUN → one step: the whole argv, the environment, the mounts (BuildKit: dockerfile2llb/convert.go, dispatchRun, and
// convert_runmount.go).

import path from 'node:path';
import { dockerfileError, locate } from '../dockerfile/errors.ts';
import { quote } from '../dockerfile/go-text.ts';
import { parseHeredocWord } from '../dockerfile/heredoc.ts';
import type { CommandLine, RunInstruction } from '../dockerfile/instructions.ts';
import { type MountOptions, parseMount } from '../dockerfile/mount.ts';
import { expand } from '../dockerfile/words.ts';
import type { CopySource } from './copy.ts';
import { runCreatedBy } from './created-by.ts';
import { envMap } from './env.ts';
import type { BuildArgs } from './global-scope.ts';
import type { RunMount, RunOperation } from './graph.ts';
import { mountTarget } from './paths.ts';
import { type StageState, upperKeyword } from './stage-state.ts';
import type { PlannedInstruction } from './stages.ts';

/** `resolveSource`: of the mount of that number. */
export function planRun(
  stage: StageState,
  planned: PlannedInstruction,
  instruction: RunInstruction,
  buildArgs: BuildArgs,
  resolveSource: (mount: number, target: string) => CopySource,
): void {
  const { args, pipes, summary } = readCommand(instruction.command, stage);
  const { places } = instruction;
  const options = instruction.mounts.map((mount, i) =>
    locate(places.flagValue('mount', i), () => parseMount(mount, (word) => stage.expand(word))),
  );
  const mounts = options.map((mount, i) => {
    const source = () => resolveSource(i, mount.target);
    return locate(places.flagValue('mount', i), () => mountOf(mount, stage.workdir, buildArgs, source));
  });
  const env = environmentList(stage);
  stage.size.addEntries(env.length + stage.args.length);
  checkStrings(args, env);
  const op: RunOperation = {
    kind: 'run',
    args,
    env,
    proxyEnv: proxyList(buildArgs).filter((entry) => !stage.environment.has(entry.slice(0, entry.indexOf('=')))),
    user: stage.user,
    workdir: stage.workdir,
    mounts,
    network: instruction.network,
    security: instruction.security,
    devices: instruction.devices,
    hostname: buildArgs.BUILDKIT_SANDBOX_HOSTNAME || undefined,
    pipes,
    platform: stage.platform,
    ...(instruction.comments.some(isTraceOff) && { trace: 'off' }),
  };
  const createdBy = runCreatedBy(args, stage.args, stage.environment);
  const step = stage.addStep(planned, describeRun(instruction.original, summary, options, stage), op);
  stage.addHistory(createdBy, step);
}

const isTraceOff = (comment: string): boolean => /^tbuild:\s*trace=off\s*$/i.test(comment);

/** What no process can be given is said where it is written, not when it is executed. */
function checkStrings(args: readonly string[], env: readonly string[]): void {
  // BuildKit: opsutils.Validate.
  if (!args[0]) throw dockerfileError('empty-command', 'invalid exec op with no args', undefined, 'RUN needs a command');
  const bad = [...args, ...env].find((text) => text.includes('\0'));
  if (bad === undefined) return;
  throw dockerfileError('zero-byte', `${quote(bad.slice(0, 80))} holds a zero byte, which no argument or variable can`);
}

/**
 * A heredoc alone is the command itself; when it begins with `#!` it is a file to execute. Anything more is text that
 * the shell reads with its heredocs.
 */
function readCommand(command: CommandLine, stage: StageState): { args: string[]; pipes: RunOperation['pipes']; summary: string } {
  if (command.form === 'exec') return { args: [...command.args], pipes: [], summary: '' };
  const { text, heredocs } = command;
  const [first] = heredocs;
  if (first === undefined) return { args: [...stage.shell, text], pipes: [], summary: '' };
  if (parseHeredocWord(text) === undefined) {
    const bodies = heredocs.map(({ content, name }) => `\n${content}${name}`);
    return { args: [...stage.shell, text + bodies.join('')], pipes: [], summary: '' };
  }
  const summary = ` (${summarize(first.content)})`;
  if (!first.content.startsWith('#!') || stage.imagePlatform.os === 'windows') {
    return { args: [...stage.shell, first.body], pipes: [], summary };
  }
  const pipe = { name: first.name, content: first.body };
  return { args: [...stage.shell, path.posix.join('/dev/pipes', first.name)], pipes: [pipe], summary };
}

function summarize(body: string): string {
  const [line = '', ...more] = body.trim().split(/\r?\n/);
  return more.length > 0 ? `${line}...` : line;
}

/** As shown: quotes stay, unset variables stay, and a variable that holds a secret is not even looked up. */
function describeRun(original: string, summary: string, mounts: readonly MountOptions[], stage: StageState): string {
  const environment = new Map(stage.environment);
  for (const { type, env } of mounts) if (type === 'secret' && env !== undefined) environment.set(env, '****');
  const text = original + summary;
  try {
    return upperKeyword(expand(text, environment, { escapeToken: stage.escapeToken, rawQuotes: true, keepUnset: true }).value);
  } catch {
    return upperKeyword(text);
  }
}

/** The config's variables first, then arguments; a name has one value, the later one. */
function environmentList(stage: StageState): string[] {
  const names = new Set([...envMap(stage.config.Env ?? []).keys(), ...stage.environment.keys()]);
  return [...names].map((name) => `${name}=${stage.environment.get(name) ?? ''}`);
}

const proxyNames = ['http_proxy', 'https_proxy', 'ftp_proxy', 'no_proxy', 'all_proxy'];

/** Proxy variables work without an ARG, in both spellings (BuildKit: proxyEnvFromBuildArgs). */
function proxyList(buildArgs: BuildArgs): string[] {
  return proxyNames.flatMap((name) => {
    const given = Object.entries(buildArgs).findLast(([key]) => key.toLowerCase() === name);
    return given === undefined ? [] : [`${name.toUpperCase()}=${given[1]}`, `${name}=${given[1]}`];
  });
}

function mountOf(mount: MountOptions, workdir: string, buildArgs: BuildArgs, source: () => CopySource): RunMount {
  const { type, uid = 0, gid = 0 } = mount;
  if (type === 'secret') return secretMount(mount, workdir);
  if (type === 'ssh') {
    if (mount.source !== '') throw wrong('ssh mount should not have a source');
    const target = mount.target === '' ? undefined : mountTarget(workdir, mount.target);
    return { type, id: mount.id || 'default', target, required: mount.required, mode: mount.mode ?? 0o600, uid, gid };
  }
  const target = mountTarget(workdir, mount.target);
  if (target === '/') throw wrong(`invalid mount target "${target}"`);
  const from = path.posix.join('/', mount.source);
  if (type === 'tmpfs') return { type, target, sizeBytes: mount.sizeBytes, readonly: mount.readonly };
  if (type === 'bind') return { type, target, from: source().step, source: from, writable: !mount.readonly };
  const namespace = buildArgs.BUILDKIT_CACHE_MOUNT_NS;
  // The target as written, cleaned as Go's path.Clean does: without a slash at its end.
  const id = mount.id || path.posix.normalize(mount.target).replace(/(?<=.)\/$/, '');
  return {
    type,
    target,
    id: namespace ? `${namespace}/${id}` : id,
    sharing: mount.sharing ?? 'shared',
    readonly: mount.readonly,
    // Without `from` a cache begins empty.
    from: mount.from === '' ? undefined : source().step,
    source: from,
    mode: mount.mode ?? 0o755,
    uid,
    gid,
  };
}

/** Both a variable and a file only when a target is named beside `env` (BuildKit: convert_secrets.go). */
function secretMount(mount: MountOptions, workdir: string): RunMount {
  const id = mount.source || mount.id || path.posix.basename(mount.target);
  const isOnlyVariable = mount.env !== undefined && mount.target === '';
  const target = mount.target || `/run/secrets/${path.posix.basename(id)}`;
  return {
    type: 'secret',
    id,
    target: isOnlyVariable ? undefined : mountTarget(workdir, target),
    env: mount.env,
    required: mount.required,
    mode: mount.mode ?? 0o400,
    uid: mount.uid ?? 0,
    gid: mount.gid ?? 0,
  };
}

const wrong = (message: string) => dockerfileError('mount', message);
