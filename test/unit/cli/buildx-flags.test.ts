// Every flag of `docker buildx build`, and what `docker build` brings along: each works, is taken with a line, or is refused with the right exit code.
import { describe, expect, test } from 'vitest';
import type { BuildOptions } from '../../../src/build/build.ts';
import { buildGroups } from '../../../src/cli/build-help.ts';
import { tbuild } from './fake-surroundings.ts';
import { image } from './progress/script.ts';

interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly options: BuildOptions | undefined;
}

async function build(...args: readonly string[]): Promise<Outcome> {
  let options: BuildOptions | undefined;
  const library = {
    buildImage: async (given: BuildOptions) => {
      options = given;
      return { image, names: [], metadata: {} };
    },
  };
  return { ...(await tbuild(['build', ...args, '.'], { library, env: { TOKEN: 'x' } })), options };
}

/** Those that others' tests look at more closely are only asked to be there. */
const works: Record<string, readonly string[]> = {
  'add-host': ['--add-host', 'a=1.2.3.4', '--add-host', 'b:::1', '--add-host', 'c:[::1]'],
  allow: ['--allow', 'network.host', '--allow', 'security.insecure', '--allow', 'device', '--allow', 'buildx.local.delete'],
  annotation: ['--annotation', 'a=b', '-o', 'type=oci,dest=x'],
  'attest, disabled': ['--attest', 'type=provenance,disabled=true'],
  'build-arg': ['--build-arg', 'A=1', '--build-arg', 'TOKEN'],
  'build-context': ['--build-context', 'base=docker-image://busybox'],
  'builder, the default': ['--builder', 'default'],
  file: ['-f', 'Dockerfile'],
  iidfile: ['--iidfile', '/dev/null'],
  'metadata-file': ['--metadata-file', '/dev/null'],
  label: ['--label', 'a=b', '--label', 'c'],
  load: ['--load'],
  'load beside an output': ['--load', '-o', 'type=docker,dest=x'],
  'network, each': ['--network', 'none'],
  'no-cache': ['--no-cache', '--no-cache-filter', 'a,b'],
  pull: ['--pull'],
  push: ['--push', '-t', 'x/y'],
  output: ['-o', 'out', '-o', 'type=tar,dest=x', '--output=type=image', '-o', 'type=cacheonly'],
  platform: ['--platform', 'linux/amd64,linux/arm64'],
  'policy, disabled': ['--policy', 'disabled=true'],
  'progress, each': ['--progress', 'auto', '--progress=none', '--progress=plain', '--progress=quiet', '--progress=rawjson'],
  'provenance and sbom, on': ['--provenance=mode=min', '--sbom=true'],
  'provenance and sbom, off': ['--provenance=false', '--sbom', 'false'],
  quiet: ['-q'],
  debug: ['-D'],
  reproducible: ['--reproducible'],
  secret: ['--secret', 'id=TOKEN'],
  'shm-size': ['--shm-size', '128m'],
  ssh: ['--ssh', 'default=/nowhere'],
  tag: ['-t', 'a', '--tag', 'b:1'],
  target: ['--target', 'x'],
  ulimit: ['--ulimit', 'nofile=1024:2048'],
  'habits of docker build': ['--rm', '--rm=false', '--force-rm', '--compress'],
};

test.each(Object.entries(works))('%s', async (_, args) => {
  const { exitCode, stderr, options } = await build(...args);
  expect(exitCode, stderr).toBe(0);
  expect(options).toBeDefined();
  expect(stderr).not.toContain('has no effect');
});

const refused: readonly (readonly [code: number, message: string, ...args: string[]])[] = [
  [9, 'the SBOM generator docker/scout-sbom-indexer is not run', '--sbom=generator=docker/scout-sbom-indexer'],
  [9, 'provenance of the version v0.2 is not supported', '--provenance=version=v0.2'],
  [2, 'duplicate attestation field sbom', '--sbom=true', '--attest', 'type=sbom'],
  [9, 'no builder "ci" found', '--builder', 'ci'],
  [9, '--cache-from does not support type=azblob', '--cache-from', 'type=azblob,name=x'],
  [2, '--cache-to type=local needs dest=', '--cache-to', 'type=local'],
  [2, '--cache-to knows no type "registy"', '--cache-to', 'type=registy,ref=x'],
  [9, '--policy is not supported yet', '--policy', 'filename=x.rego'],
  [2, '--resource takes name=value, not "memroy=1g"', '--resource', 'memroy=1g'],
  [9, 'cgroups through systemd are not supported', '--cgroup-parent', 'x.slice:'],
  [2, '--progress does not take "fancy"', '--progress', 'fancy'],
  [2, 'local and tar exporters are incompatible', '--iidfile', 'x', '-o', 'out'],
  [2, 'invalid annotation "a"', '--annotation', 'a', '-o', 'type=oci,dest=x'],
];

test.each([
  '--check',
  '--call=check',
  '--call=outline,format=json',
  '--call=targets',
  '--call=subrequests.describe',
])('%s asks and does not build', async (flag) => {
  const { options } = await build(flag);
  expect(options).toBeUndefined();
});

test.each(refused.map(([code, message, ...args]) => ({ code, message, args })))('$args: $code, $message', async ({
  code,
  message,
  args,
}) => {
  const { exitCode, stderr, options } = await build(...args);
  expect(exitCode, stderr).toBe(code);
  expect(stderr).toContain(message);
  expect(options).toBeUndefined();
});

describe('flags without effect', () => {
  const lines: readonly (readonly string[])[] = [
    ['--squash'],
    ['--isolation', 'default'],
    ['--security-opt', 'seccomp=unconfined'],
    ['-m', '1g'],
    ['--memory-swap=-1'],
    ['-c', '512'],
    ['--cpu-period', '1'],
    ['--cpu-quota', '1'],
    ['--cpuset-cpus', '0'],
    ['--cpuset-mems', '0'],
    ['--annotation', 'a=b'],
  ];

  test.each(lines)('%s %s: a line, and the build goes on', async (...args) => {
    const { exitCode, stderr, options } = await build(...args);
    expect([exitCode, options !== undefined]).toEqual([0, true]);
    expect(stderr).toMatch(/^warning: --[a-z-]+ has no effect: /);
  });

  test('are not spoken of where a program or nobody reads', async () => {
    for (const progress of ['rawjson', 'quiet', 'none'])
      expect((await build('--squash', `--progress=${progress}`)).stderr).toBe('');
  });
});

test.each([
  ['--metadta-file=x', 'did you mean --metadata-file?'],
  ['--lable=x', 'did you mean --label?'],
  ['--platfrom', 'did you mean --platform?'],
  ['--ouput=x', 'did you mean --output?'],
  ['--cachefrom=x', 'did you mean --cache-from?'],
  ['--progres=plain', 'did you mean --progress?'],
])('%s: %s', async (flag, hint) => {
  const { exitCode, stderr } = await build(flag);
  expect(exitCode).toBe(2);
  expect(stderr).toContain(hint);
});

test('labels keep the last value, tags all of them', async () => {
  const { options } = await build(
    '--label',
    'a=1',
    '--label',
    'b=2',
    '--label',
    'a=3',
    '-t',
    'x',
    '-t',
    'y',
    '-o',
    'type=image,name=z',
  );
  expect(options?.labels).toEqual({ a: '3', b: '2' });
  expect(options?.tags).toEqual(['x', 'y', 'z']);
});

test('every flag in the help stands where it belongs', async () => {
  const { stdout } = await tbuild(['build', '--help']);
  const [, others = ''] = stdout.split('\nOther options:\n');
  expect([...others.matchAll(/^ {2}(?:-\w,| {3}) --([a-z-]+)/gm)].map(([, name]) => name)).toEqual(['debug', 'help']);
  expect(Object.keys(buildGroups).filter((heading) => !stdout.includes(`\n${heading}:\n  `))).toEqual([]);
});

test('BUILDKIT_COLORS chooses colours by what they mean', async () => {
  const env = { FORCE_COLOR: '1', BUILDKIT_COLORS: 'error=255,1,2:warning=lightblue:run=nothing:x' };
  const library = { buildImage: async () => ({ image, names: [], metadata: {} }) };
  expect((await tbuild(['build', '--squash', '.'], { library, env })).stderr).toContain('\x1b[94mwarning: --squash');
  expect((await tbuild(['build', '--sqash', '.'], { env })).stderr).toContain('\x1b[38;2;255;1;2merror:');
  expect((await tbuild(['build', '--sqash', '.'], { env: { ...env, NO_COLOR: '1' } })).stderr).not.toContain('\x1b');
});
