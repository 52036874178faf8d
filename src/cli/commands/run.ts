// `tbuild run`: a container from an image. Exits as docker run does: the container's own code, else 125, 126 or 127.

import { readFile } from 'node:fs/promises';
import { TbuildError } from '../../base/errors.ts';
import type { PullWatcher } from '../../containers/run.ts';
import type { Limits } from '../../sandbox/limits.ts';
import { onHostNetwork } from '../../sandbox/network.ts';
import { defineCommand } from '../command.ts';
import { containerExitCode } from '../container-exit-code.ts';
import type { LimitFlags } from '../limit-values.ts';
import { parsePlatformFlag, platformFlag } from '../platform-flag.ts';
import { runtimeOf } from '../runtime-flag.ts';
import type { Environment, Output } from '../surroundings.ts';

export const run = defineCommand({
  name: 'run',
  usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]',
  description: 'Create and run a new container from an image',
  positionals: [1, Number.POSITIVE_INFINITY],
  stopAtPositional: true,
  flags: {
    'cgroup-parent': { value: 'string', help: 'Optional parent cgroup for the container' },
    'cpu-period': { value: 'int', help: 'Limit CPU CFS (Completely Fair Scheduler) period' },
    'cpu-quota': { value: 'int', help: 'Limit CPU CFS (Completely Fair Scheduler) quota' },
    'cpu-shares': { short: 'c', value: 'int', help: 'CPU shares (relative weight)' },
    cpus: { value: 'decimal', help: 'Number of CPUs' },
    'cpuset-cpus': { value: 'string', help: 'CPUs in which to allow execution (0-3, 0,1)' },
    'cpuset-mems': { value: 'string', help: 'MEMs in which to allow execution (0-3, 0,1)' },
    entrypoint: { value: 'string', help: 'Overwrite the default ENTRYPOINT of the image' },
    env: { short: 'e', value: 'list', repeated: true, help: 'Set environment variables' },
    'env-file': { value: 'list', repeated: true, help: 'Read in a file of environment variables' },
    hostname: { short: 'h', value: 'string', help: 'Container host name' },
    interactive: { short: 'i', help: 'Keep STDIN open even if not attached' },
    memory: { short: 'm', value: 'bytes', help: 'Memory limit' },
    'memory-swap': { value: 'bytes', help: "Swap limit equal to memory plus swap: '-1' to enable unlimited swap" },
    network: {
      value: 'network',
      choices: ['default', 'host', 'none'],
      default: 'default',
      help: 'Connect a container to a network',
    },
    'pids-limit': { value: 'int', help: 'Tune container pids limit (set -1 for unlimited)' },
    platform: platformFlag,
    pull: { value: 'string', choices: ['always', 'missing', 'never'], default: 'missing', help: 'Pull image before running' },
    quiet: { short: 'q', help: 'Suppress the pull output' },
    'read-only': { help: "Mount the container's root filesystem as read only" },
    rm: { help: 'Automatically remove the container when it exits (always so, while containers are not kept)' },
    runtime: { value: 'string', help: 'Runtime to use for this container ("crun", "runc", a path; also $TBUILD_RUNTIME)' },
    tty: { short: 't', help: 'Allocate a pseudo-TTY' },
    user: { short: 'u', value: 'string', help: 'Username or UID (format: <name|uid>[:<group|gid>])' },
    userns: {
      value: 'string',
      choices: ['auto', 'host'],
      default: 'auto',
      help: 'User namespace: one of its own ("auto"), or the host\'s ("host")',
    },
    volume: { short: 'v', value: 'list', repeated: true, help: 'Bind mount a volume' },
    workdir: { short: 'w', value: 'string', help: 'Working directory inside the container' },
  },
  run: async ({ flags, positionals: [image, ...command], library, env, stdout, stderr }) => {
    const platform = parsePlatformFlag(flags.platform);
    const { columns: width, rows: height } = stdout;
    const limits = await readLimits(flags);
    return library.runContainer({
      image: image!,
      command,
      interactive: flags.interactive,
      tty: flags.tty,
      ...(flags.tty && width && height && { terminalSize: { width, height } }),
      // Docker's order: what -e says wins over the files.
      env: [...(await readEnvFiles(flags['env-file'], env)), ...flags.env.flatMap((entry) => completeEnv(entry, env))],
      volumes: [...flags.volume],
      network: flags.network as 'default' | 'host' | 'none',
      onHostNetwork: (why) => stderr.write(`${onHostNetwork(why)}\n`),
      ...runtimeOf(flags.runtime, env),
      ...(flags.userns === 'host' && { userns: 'host' as const }),
      readOnly: flags['read-only'],
      pull: flags.pull as 'always' | 'missing' | 'never',
      ...(!flags.quiet && { showPull: () => showPull(image!, flags.pull, stderr) }),
      ...(platform && { platform }),
      ...(limits && { limits }),
      ...(flags['cgroup-parent'] !== undefined && { cgroupParent: await checkParent(flags['cgroup-parent']) }),
      ...(flags.workdir !== undefined && { workdir: flags.workdir }),
      ...(flags.user !== undefined && { user: flags.user }),
      ...(flags.entrypoint !== undefined && { entrypoint: flags.entrypoint }),
      ...(flags.hostname !== undefined && { hostname: flags.hostname }),
    });
  },
  exitCodeOf: containerExitCode,
});

/** In docker's words. Few runs have to pull. */
async function showPull(image: string, policy: string, stderr: Output): Promise<PullWatcher> {
  if (policy === 'missing') stderr.write(`Unable to find image '${image}' locally\n`);
  const { pullDisplay } = await import('../pull-display.ts');
  return pullDisplay(stderr);
}

const limitFlags = 'memory memory-swap cpus cpu-shares cpu-period cpu-quota cpuset-cpus cpuset-mems pids-limit'.split(' ');

async function readLimits(flags: Partial<LimitFlags>): Promise<Limits | undefined> {
  if (limitFlags.every((name) => flags[name as keyof LimitFlags] === undefined)) return undefined;
  return (await import('../limit-values.ts')).parseLimits(flags);
}

async function checkParent(parent: string): Promise<string> {
  return (await import('../../sandbox/limits.ts')).checkCgroupParent(parent);
}

/** `NAME` alone takes the value from tbuild's own environment, and is left out when it has none. */
function completeEnv(entry: string, env: Environment): string[] {
  if (entry.startsWith('=') || entry === '') {
    throw new TbuildError('usage/bad-value', `an environment variable has a name: "${entry.slice(0, 40)}"`);
  }
  if (entry.includes('=')) return [entry];
  const value = env[entry];
  return value === undefined ? [] : [`${entry}=${value}`];
}

/** docker/cli opts/file.go: a line is NAME=value as it stands (no quotes, no expansion) or NAME; # starts a comment line. */
async function readEnvFiles(paths: readonly string[], env: Environment): Promise<string[]> {
  const entries: string[] = [];
  for (const path of paths) {
    const text = await readFile(path, 'utf8').catch((cause: unknown) => {
      throw new TbuildError('usage/unreadable-file', `cannot read the file of environment variables ${path}`, { cause });
    });
    text
      .replace(/^\ufeff/, '')
      .split(/\r?\n/)
      .forEach((raw, index) => {
        const line = raw.trimStart();
        if (line === '' || line.startsWith('#')) return;
        const name = line.split('=', 1)[0]!;
        // The line itself may be a secret: it is not in the message.
        if (name === '' || /\s/.test(name)) {
          throw new TbuildError(
            'usage/bad-value',
            `${path}:${index + 1}: the name of an environment variable is empty or has a space in it`,
          );
        }
        entries.push(...completeEnv(line, env));
      });
  }
  return entries;
}
