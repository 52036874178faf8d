// The system's git, closed: no configuration of the machine or the user, no hooks, no prompts, no helpers, and only the transports that a call
// names. What it says is never printed; when it fails, its last word is the error's, without secrets.

import { type ChildProcess, spawn } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { TbuildError } from '../../base/errors.ts';

/** What of the machine a build's git may use. */
export interface GitAccess {
  /** Content of a secret; undefined: not given. */
  readonly secret: (id: string) => Buffer | undefined;
  /** Of an agent with the keys for ssh. */
  readonly sshSocket: string | undefined;
  /** A file in which keys of ssh servers are remembered. */
  readonly knownHosts: string;
  readonly signal: AbortSignal;
}

export interface GitCall {
  /** Where it runs; the repository too unless `gitDir` says another. */
  readonly directory: string;
  readonly gitDir?: string;
  readonly workTree?: string;
  readonly indexFile?: string;
  /** As `https:ssh`; undefined: it has no business with any. */
  readonly protocols?: string;
  /** On top of ours; in the environment, for a secret has no place among the arguments. */
  readonly config?: readonly (readonly [key: string, value: string])[];
}

/** No output of ours is longer; a hostile server's might be. */
const MAX_OUTPUT_BYTES = 32 << 20;
/** Nobody who still sends says nothing for so long. */
const IDLE_MS = 120_000;

/** Its standard output. Throws `context/git`, and `context/git-missing` where there is none. */
export function runGit(access: GitAccess, call: GitCall, args: readonly string[]): Promise<string> {
  access.signal.throwIfAborted();
  const child = start(access, call, args);
  return new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    let failure: TbuildError | undefined;
    const stop = (why?: TbuildError): void => {
      failure ??= why;
      kill(child);
    };
    const abort = (): void => stop();
    const tooQuiet = (): void =>
      stop(new TbuildError('context/git', `git ${args[0]}: nothing came for ${IDLE_MS / 1000} seconds`));
    const idle = call.protocols === undefined ? undefined : setTimeout(tooQuiet, IDLE_MS);
    access.signal.addEventListener('abort', abort);
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      if (stdout.length > MAX_OUTPUT_BYTES) stop(new TbuildError('context/git', `git ${args[0]}: the answer is too long`));
    });
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      idle?.refresh();
      stderr = (stderr + text).slice(-8192);
    });
    const end = (settle: () => void): void => {
      clearTimeout(idle);
      access.signal.removeEventListener('abort', abort);
      settle();
    };
    child.once('error', (cause) => end(() => reject(notStarted(cause))));
    child.once('close', (code) =>
      end(() => {
        if (access.signal.aborted) reject(access.signal.reason);
        else if (failure) reject(failure);
        else if (code === 0) resolve(stdout);
        else
          reject(
            new TbuildError('context/git', `git ${args[0]}: ${lastWord(stderr)}`, { details: { stderr: redactText(stderr) } }),
          );
      }),
    );
  });
}

function start(access: GitAccess, call: GitCall, args: readonly string[]): ChildProcess {
  const { directory, gitDir, workTree } = call;
  const where = [...(gitDir ? [`--git-dir=${gitDir}`] : []), ...(workTree ? [`--work-tree=${workTree}`] : [])];
  const env = environment(access, call);
  // git makes files by the umask: those of a checkout are 0644 and 0755 whoever builds.
  const umask = process.umask(0o022);
  try {
    // A group of its own: what is ended is git with its helpers.
    return spawn('git', [...where, ...args], { cwd: directory, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  } finally {
    process.umask(umask);
  }
}

function kill({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

const closedConfig: readonly (readonly [string, string])[] = [
  ['core.hooksPath', '/dev/null'],
  ['core.fsmonitor', 'false'],
  ['core.askPass', ''],
  ['credential.helper', ''],
  ['init.defaultBranch', 'master'],
  ['advice.detachedHead', 'false'],
  ['gc.auto', '0'],
  ['maintenance.auto', 'false'],
  // The store may be another user's, as in a container: it is ours all the same.
  ['safe.directory', '*'],
  ['http.lowSpeedLimit', '1'],
  ['http.lowSpeedTime', '60'],
];

const passed = [
  'PATH',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'ALL_PROXY',
  'NO_PROXY',
  'http_proxy',
  'https_proxy',
  'all_proxy',
  'no_proxy',
];

/** Nothing of ours but what is named here: least of all GIT_*. */
function environment(access: GitAccess, { indexFile, protocols, config = [] }: GitCall): NodeJS.ProcessEnv {
  const all = [...closedConfig, ...config];
  const certificates = process.env.NODE_EXTRA_CA_CERTS;
  return {
    ...Object.fromEntries(passed.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]))),
    LC_ALL: 'C',
    HOME: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ALLOW_PROTOCOL: protocols ?? 'none',
    GIT_SSH_COMMAND: sshCommand(access.knownHosts),
    GIT_SSH_VARIANT: 'ssh',
    GIT_CONFIG_COUNT: String(all.length),
    ...Object.fromEntries(
      all.flatMap(([key, value], i) => [
        [`GIT_CONFIG_KEY_${i}`, key],
        [`GIT_CONFIG_VALUE_${i}`, value],
      ]),
    ),
    ...(indexFile !== undefined && { GIT_INDEX_FILE: indexFile }),
    ...(access.sshSocket !== undefined && { SSH_AUTH_SOCK: access.sshSocket }),
    // Beside the system's, not in their place.
    ...(certificates !== undefined && { GIT_SSL_CAINFO: certificates, GIT_SSL_CAPATH: '/etc/ssl/certs' }),
  };
}

/** No key but the agent's. A server that nobody has seen is taken at its word, once; one that changed its key is not. */
function sshCommand(knownHosts: string): string {
  const files = [knownHosts, join(homedir(), '.ssh/known_hosts'), '/etc/ssh/ssh_known_hosts'];
  const options = [
    'BatchMode=yes',
    'ConnectTimeout=30',
    'IdentityFile=none',
    'StrictHostKeyChecking=accept-new',
    `UserKnownHostsFile=${files.map((file) => `"${file}"`).join(' ')}`,
  ];
  return ['ssh -F /dev/null', ...options.map((option) => `-o '${option.replaceAll("'", `'\\''`)}'`)].join(' ');
}

function notStarted(cause: Error): TbuildError {
  if ((cause as NodeJS.ErrnoException).code !== 'ENOENT')
    return new TbuildError('context/git', `git cannot be started: ${cause.message}`, { cause });
  return new TbuildError('context/git-missing', 'git is not installed, and a git repository is to be fetched', {
    cause,
    hint: 'install git, or give the files as an archive: ADD --unpack=true https://…',
  });
}

/** The line that says why: git's own last one, and not what a transport adds to it. */
function lastWord(stderr: string): string {
  const lines = redactText(stderr)
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const said = lines.findLast((line) => /^(?:fatal|error|remote error):/.test(line)) ?? lines.at(-1);
  return said?.replace(/^(?:fatal|error): /, '') ?? 'it failed without a word';
}

/** User and password of every URL left out. */
const redactText = (text: string): string => text.replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/@']*@/gi, '$1');
