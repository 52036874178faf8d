// `tbuild build`: an image from a Dockerfile. Flags to options, one call, and the events to a progress display.

import { lstatSync, rmSync, writeFileSync } from 'node:fs';
import { TbuildError } from '../../base/errors.ts';
import type { BuildOptions } from '../../build/build.ts';
import type { Cgroup } from '../../sandbox/limits.ts';
import { buildExamples, buildGroups } from '../build-help.ts';
import { defineCommand, type Invocation } from '../command.ts';
import { dockerFlags, readDockerFlags } from '../docker-flags.ts';
import type { FlagTable } from '../flags.ts';
import { interruptible } from '../interruption.ts';
import { chooseProgress, progressKinds } from '../progress/choose.ts';
import { parseBuildArgs, parseBuildContexts, parseLabels, parsePlatforms, parseSecret, withEpoch } from '../values/build.ts';
import { runtimeOf } from '../values/runtime.ts';

export const flagTable = {
  'add-host': { value: 'strings', repeated: true, help: 'Add a custom host-to-IP mapping (format: "host:ip")' },
  allow: {
    value: 'stringArray',
    repeated: true,
    help: 'Allow extra privileged entitlement ("network.host", "security.insecure", "device", "buildx.local.delete")',
  },
  annotation: {
    value: 'stringArray',
    repeated: true,
    help: 'Add annotation to the image (format: "[type[platform]:]key=value")',
  },
  attest: {
    value: 'stringArray',
    repeated: true,
    help: 'Attestation parameters (format: "type=sbom", "type=provenance,mode=min")',
  },
  'build-arg': { value: 'stringArray', repeated: true, help: 'Set build-time variables' },
  'build-context': { value: 'stringArray', repeated: true, help: 'Additional build contexts (e.g., name=path)' },
  'cache-from': {
    value: 'stringArray',
    repeated: true,
    help: 'External cache sources (e.g., "user/app:cache", "type=local,src=path/to/dir")',
  },
  'cache-to': {
    value: 'stringArray',
    repeated: true,
    help: 'Cache export destinations (e.g., "user/app:cache", "type=local,dest=path/to/dir")',
  },
  call: { value: 'string', default: 'build', help: 'Set method for evaluating build ("check", "outline", "targets")' },
  check: { help: 'Shorthand for "--call=check"' },
  'cgroup-parent': { value: 'string', help: 'Set the parent cgroup for the "RUN" instructions during build' },
  'context-modes': {
    value: 'string',
    choices: ['strict', 'git'],
    default: 'strict',
    help: 'Modes of the context\'s files: as they are ("strict"), or as git has those that it tracks ("git")',
  },
  file: { short: 'f', value: 'string', help: 'Name of the Dockerfile (default: "PATH/Dockerfile")' },
  frozen: { help: 'Refuse what is not locked (see tbuild lock)' },
  iidfile: { value: 'string', help: 'Write the image ID to a file' },
  label: { value: 'stringArray', repeated: true, help: 'Set metadata for an image' },
  load: { help: 'Shorthand for "--output=type=docker": hand the image to the Docker or podman that is running, if there is one' },
  'metadata-file': { value: 'string', help: 'Write build result metadata to a file' },
  network: {
    value: 'string',
    choices: ['default', 'host', 'none'],
    default: 'default',
    help: 'Set the networking mode for the "RUN" instructions during build ("default", "host", "none")',
  },
  'no-cache': { help: 'Do not use cache when building the image' },
  'no-cache-filter': { value: 'list', repeated: true, help: 'Do not cache specified stages' },
  'on-failure': { value: 'path', help: 'When a "RUN" fails, put what it left at this path into the directory of --output' },
  output: { short: 'o', value: 'stringArray', repeated: true, help: 'Output destination (format: "type=local,dest=path")' },
  platform: {
    value: 'stringArray',
    repeated: true,
    help: 'Set target platform for build (format: "os/arch[/variant]", "local")',
  },
  progress: {
    value: 'string',
    choices: progressKinds,
    help: 'Set type of progress output ("auto", "none", "plain", "quiet", "rawjson", "tty"). Use plain to show container output (default "auto")',
  },
  provenance: { value: 'string', help: 'Shorthand for "--attest=type=provenance"' },
  pull: { help: 'Always attempt to pull all referenced images' },
  push: { help: 'Shorthand for "--output=type=registry"' },
  quiet: { short: 'q', help: 'Suppress the build output and print image ID on success' },
  reproducible: { help: 'Build an image that says nothing of when, where and by whom it was built' },
  resource: {
    value: 'stringArray',
    repeated: true,
    help: 'Resource limits for the "RUN" instructions ("memory=1g", "cpu-quota=50000", …)',
  },
  sbom: { value: 'string', help: 'Shorthand for "--attest=type=sbom"' },
  secret: {
    value: 'stringArray',
    repeated: true,
    help: 'Secret to expose to the build (format: "id=mysecret[,src=/local/secret|,env=NAME]")',
  },
  runtime: { value: 'string', help: 'OCI runtime for the "RUN" instructions ("crun", "runc", a path; also $TBUILD_RUNTIME)' },
  'shm-size': { value: 'bytes', help: 'Shared memory size for build containers' },
  ssh: {
    value: 'stringArray',
    repeated: true,
    help: 'SSH agent socket or keys to expose to the build (format: "default|<id>[=<socket>|<key>[,<key>]]")',
  },
  tag: { short: 't', value: 'stringArray', repeated: true, help: 'Image identifier (format: "[registry/]repository[:tag]")' },
  target: { value: 'string', help: 'Set the target build stage to build' },
  trace: {
    value: 'string',
    choices: ['on', 'off', 'verify'],
    default: 'on',
    help: 'Repeat a "RUN" only for files that it looked at ("on"), for any change below it ("off"), or repeat it all the same and compare ("verify")',
  },
  ulimit: { value: 'ulimit', repeated: true, help: 'Ulimit options' },
  userns: {
    value: 'string',
    choices: ['auto', 'host'],
    default: 'auto',
    help: 'User namespace for the "RUN" instructions: one of its own ("auto"), or the host\'s ("host")',
  },
  ...dockerFlags,
} as const satisfies FlagTable;

export const build = defineCommand({
  name: 'build',
  usage: '[OPTIONS] PATH | URL | -',
  description: 'Build an image from a Dockerfile',
  positionals: [1, 1],
  flags: flagTable,
  groups: buildGroups,
  examples: buildExamples,
  run: async (invocation) => {
    const { flags, library } = invocation;
    const called = await startCall(invocation);
    if (called !== undefined) return called;
    const progress = chooseProgress(invocation, flags.quiet ? 'quiet' : flags.progress);
    try {
      const options = await buildOptions(invocation);
      const { outputs, names } = await chooseOutputs(invocation);
      for (const line of readDockerFlags(flags, outputs)) progress.note?.(line);
      if (flags.iidfile !== undefined) removeOld(flags.iidfile);
      const {
        image,
        metadata,
        notes = [],
      } = await interruptible((signal) => {
        const { stdout } = invocation;
        return library.buildImage({
          ...options,
          tags: [...options.tags, ...names],
          outputs,
          stdout,
          onEvent: progress.show,
          signal,
        });
      }, progress.interrupt);
      if (flags.iidfile !== undefined) writeImageId(flags.iidfile, image);
      if (flags['metadata-file'] !== undefined)
        await (await import('../metadata-file.ts')).writeMetadata(flags['metadata-file'], metadata);
      for (const note of notes) progress.note?.(note);
      progress.succeed(image);
      return 0;
    } catch (error) {
      if (flags['metadata-file'] !== undefined)
        await (await import('../metadata-file.ts')).writeFailure(flags['metadata-file'], error);
      return progress.fail(error);
    }
  },
});

/** Most builds have none, and do without the code that reads them. `names`: what outputs name the image in the store. */
async function chooseOutputs({ flags, stdout }: Invocation<typeof flagTable>) {
  if (flags.output.length === 0 && !flags.push && !flags.load) return { outputs: [], names: [] };
  const { readOutputs } = await import('../values/output.ts');
  const outputs = readOutputs({ ...flags, quiet: flags.quiet || flags.progress === 'quiet' }, stdout.isTTY === true);
  const names = outputs.flatMap((output) =>
    (output.type === 'image' && output.push !== 'digest') || output.type === 'engine' ? (output.names ?? []) : [],
  );
  return { outputs, names };
}

/** The exit code of what `--call` and `--check` ask for; undefined: a build. */
async function startCall(invocation: Invocation<typeof flagTable>): Promise<number | undefined> {
  const { check, call: text } = invocation.flags;
  if (!check && text === 'build') return undefined;
  const { parseCall, runCall } = await import('../call.ts');
  const call = parseCall(check ? 'check' : text);
  if (call.method === 'build') return undefined;
  const options = await buildOptions(invocation);
  return interruptible((signal) => runCall(call, { ...options, signal }, invocation));
}

export async function buildOptions({
  flags,
  positionals,
  env,
}: Invocation<typeof flagTable>): Promise<Omit<BuildOptions, 'outputs' | 'signal' | 'stdout' | 'onEvent'>> {
  const context = positionals[0]!;
  if (context === '-' && flags.file === '-') {
    throw new TbuildError('usage/conflict', 'the context and the Dockerfile cannot both come from standard input');
  }
  const platforms = parsePlatforms(flags.platform, env);
  const noCacheStages = flags['no-cache-filter'].flatMap((names) => names.split(','));
  return {
    context,
    buildArgs: withEpoch(parseBuildArgs(flags['build-arg'], env), env),
    tags: [...flags.tag],
    labels: parseLabels(flags.label),
    noCache: flags['no-cache'],
    secrets: flags.secret.map((text) => parseSecret(text, env)),
    network: flags.network as BuildOptions['network'],
    ...runtimeOf(flags.runtime, env),
    ...(flags.trace !== 'on' && { trace: flags.trace as 'off' | 'verify' }),
    ...(flags.userns === 'host' && { userns: 'host' as const }),
    ...(await parseRunFlags(flags)),
    ...(flags['build-context'].length > 0 && { buildContexts: parseBuildContexts(flags['build-context']) }),
    ...(flags['context-modes'] === 'git' && { contextModes: 'git' as const }),
    ...(flags.file !== undefined && { dockerfile: flags.file }),
    ...(flags.target !== undefined && { target: flags.target }),
    ...(flags['on-failure'] !== undefined && { onFailure: flags['on-failure'] }),
    ...(flags.frozen && { frozen: true }),
    ...(flags.pull && { pull: true }),
    ...(flags.reproducible && { reproducible: true }),
    ...(await caches(flags, env)),
    ...(await attests(flags)),
    ...(platforms.length > 0 && { platforms }),
    ...(noCacheStages.length > 0 && { noCacheStages }),
  };
}

async function caches(
  flags: Invocation<typeof flagTable>['flags'],
  env: Invocation<typeof flagTable>['env'],
): Promise<Pick<BuildOptions, 'remoteCache'>> {
  if (flags['cache-from'].length === 0 && flags['cache-to'].length === 0) return {};
  return { remoteCache: (await import('../values/cache.ts')).readCaches(flags, env) };
}

/** Off by default, unlike with buildx. */
async function attests(flags: Invocation<typeof flagTable>['flags']): Promise<Pick<BuildOptions, 'attest'>> {
  if (flags.attest.length === 0 && flags.provenance === undefined && flags.sbom === undefined) return {};
  const attest = (await import('../values/attest.ts')).readAttests(flags);
  return attest ? { attest } : {};
}

/** What is asked for by few is read by what is loaded for them. */
async function parseRunFlags(flags: Invocation<typeof flagTable>['flags']): Promise<Partial<BuildOptions>> {
  const { 'add-host': hosts, allow, 'cgroup-parent': cgroup, resource, 'shm-size': shmSize, ssh, ulimit } = flags;
  const isGiven =
    [hosts, allow, resource, ssh, ulimit].some((list) => list.length > 0) || cgroup !== undefined || shmSize !== undefined;
  if (!isGiven) return {};
  const values = await import('../values/build-run.ts');
  return {
    allow: values.parseAllow(allow),
    extraHosts: hosts.flatMap(values.parseExtraHost),
    ...((resource.length > 0 || cgroup !== undefined) && { cgroup: await parseCgroup(resource, cgroup) }),
    rlimits: ulimit.map(values.parseUlimit),
    ssh: ssh.map(values.parseSsh),
    ...(shmSize !== undefined && { shmBytes: values.parseShmSize(shmSize) }),
  };
}

async function parseCgroup(resources: readonly string[], parent: string | undefined): Promise<Cgroup> {
  const limits = (await import('../values/limit.ts')).parseResources(resources);
  const { checkCgroupParent } = await import('../../sandbox/limits.ts');
  return { ...(limits && { limits }), ...(parent !== undefined && { parent: checkCgroupParent(parent) }) };
}

/** A build that fails leaves no ID of another. What is no file, as /dev/null, stays. */
function removeOld(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isFile()) rmSync(path, { force: true });
}

/** As docker writes it: no line end. */
function writeImageId(path: string, image: string): void {
  try {
    writeFileSync(path, image);
  } catch (cause) {
    throw new TbuildError('usage/unwritable-file', `the image is built, but its ID cannot be written to ${path}`, { cause });
  }
}
