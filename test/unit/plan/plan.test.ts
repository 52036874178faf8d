// biome-ignore-all lint/suspicious/noTemplateCurlyInString: a Dockerfile's own variables are meant
import { expect, test } from 'vitest';
import { TbuildError } from '../../../src/base/errors.ts';
import { parseDockerfile } from '../../../src/dockerfile/parse.ts';
import type { ImageConfig, Platform } from '../../../src/oci/config.ts';
import type { CopyOperation, Graph, RunOperation } from '../../../src/plan/graph.ts';
import { type PlanOptions, planBuild } from '../../../src/plan/plan.ts';

const linux: Platform = { os: 'linux', architecture: 'amd64' };
const layer = `sha256:${'0'.repeat(64)}`;

const image = (config: ImageConfig['config'] = {}, rest: Partial<ImageConfig> = {}): ImageConfig => ({
  ...linux,
  config,
  rootfs: { type: 'layers', diff_ids: [layer] },
  ...rest,
});

/** Images that exist, by their familiar name; `base` is there always. */
type Images = Readonly<Record<string, ImageConfig>>;

function plan(text: string, options: Partial<PlanOptions> = {}, images: Images = {}): Promise<Graph> {
  const known = new Map(
    Object.entries({ base: image(), ...images }).map(([name, config]) => [`docker.io/library/${name}:latest`, config]),
  );
  return planBuild(
    parseDockerfile(text, 'Dockerfile'),
    { buildArgs: {}, buildPlatform: linux, labels: {}, contexts: {}, ...options },
    {
      config: async (reference) => {
        const found = known.get(reference);
        if (found === undefined) throw new TbuildError('image/unknown', `there is no image ${reference}`);
        return found;
      },
    },
  );
}

const names = ({ steps }: Graph) => steps.map(({ name }) => name);
/** Without the lines made up for layers of a base that has no history. */
const told = ({ target }: Graph) => target.history.filter(({ entry }) => entry.comment !== 'buildkit.exporter.image.v0');
const createdBy = (graph: Graph) => told(graph).map(({ entry }) => entry.created_by);
const runs = ({ steps }: Graph) => steps.flatMap(({ op }) => (op.kind === 'run' ? [op] : [])) as RunOperation[];
const copies = ({ steps }: Graph) => steps.flatMap(({ op }) => (op.kind === 'copy' ? [op] : [])) as CopyOperation[];

async function errorOf(text: string, options?: Partial<PlanOptions>, images?: Images): Promise<string> {
  try {
    await plan(text, options, images);
  } catch (error) {
    if (!(error instanceof TbuildError)) throw error;
    const hint = error.hint === undefined ? '' : ` (${error.hint})`;
    return `${error.code}: ${error.message}${hint}, line ${error.where?.range.startLine}`;
  }
  throw new Error('it was planned');
}

test('names of steps: one stage, several, padding, sources', async () => {
  expect(names(await plan('FROM base\nWORKDIR /a\nCOPY . .\nRUN x'))).toEqual([
    '[1/4] FROM docker.io/library/base:latest',
    '[2/4] WORKDIR /a',
    '[internal] load build context',
    '[3/4] COPY . .',
    '[4/4] RUN x',
  ]);
  expect(names(await plan('FROM base AS build\nRUN x\nFROM scratch\nCOPY --from=build /a /b'))).toEqual([
    '[build 1/2] FROM docker.io/library/base:latest',
    '[build 2/2] RUN x',
    '[stage-1 1/1] COPY --from=build /a /b',
  ]);
  const ten = await plan(`FROM base\n${'RUN x\n'.repeat(10)}`);
  expect(names(ten).slice(0, 2)).toEqual(['[ 1/11] FROM docker.io/library/base:latest', '[ 2/11] RUN x']);
  // A source that is no stage of the file is one to BuildKit, so the stage has to be told from it.
  expect(names(await plan('FROM base\nRUN --mount=type=cache,target=/c x'))).toContain(
    '[stage-0 2/2] RUN --mount=type=cache,target=/c x',
  );
});

test('names show variables, but no secrets', async () => {
  const text = 'FROM base\nENV A=1 TOKEN=t\nWORKDIR /$A\nRUN --mount=type=secret,id=t,env=TOKEN echo "$A $B $TOKEN"';
  expect(names(await plan(text)).slice(1)).toEqual([
    '[stage-0 2/3] WORKDIR /1',
    '[stage-0 3/3] RUN --mount=type=secret,id=t,env=TOKEN echo "1 $B ****"',
  ]);
});

test('a stage that FROM names goes on where it ended; its steps are there once', async () => {
  const graph = await plan('FROM base AS a\nENV X=1\nRUN x\nFROM a AS b\nRUN y\nFROM a\nRUN z\nCOPY --from=b / /');
  expect(names(graph)).toEqual([
    '[a 1/2] FROM docker.io/library/base:latest',
    '[a 2/2] RUN x',
    '[b 1/1] RUN y',
    '[stage-2 1/2] RUN z',
    '[stage-2 2/2] COPY --from=b / /',
  ]);
  expect(graph.steps.map(({ parent }) => parent)).toEqual([undefined, 0, 1, 1, 3]);
  expect(graph.steps.map(({ id }) => id)).toEqual([0, 1, 2, 3, 4]);
  expect(graph.steps.map(({ stage }) => stage)).toEqual(['a', 'a', 'b', '2', '2']);
  expect(runs(graph)[2]!.env).toContain('X=1');
});

test('what the target does not need is neither asked for nor planned', async () => {
  const graph = await plan('FROM nowhere AS unused\nRUN x\nFROM base AS used\nFROM nowhere', { target: 'USED' });
  expect(names(graph)).toEqual(['FROM docker.io/library/base:latest'].map((name) => `[used 1/1] ${name}`));
  expect(graph.target.stage).toBe('used');
});

test('global ARGs reach FROM, and a stage only through an ARG of its own', async () => {
  const text = [
    'ARG NAME=wrong',
    'ARG FULL=${NAME}',
    'FROM $FULL',
    'ARG NAME',
    'ARG OWN=default',
    'ARG UNSET',
    'ARG EMPTY=',
    'RUN x',
  ].join('\n');
  const [run] = runs(await plan(text, { buildArgs: { NAME: 'base', UNDECLARED: '1' } }));
  expect(run!.env).toEqual([
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'NAME=base',
    'OWN=default',
    'EMPTY=',
  ]);
});

test('the later of ENV and ARG wins, and the config keeps ENV', async () => {
  const graph = await plan('FROM base\nENV A=env\nARG A=arg\nRUN x\nENV A=again\nRUN y');
  expect(runs(graph).map(({ env }) => env.filter((entry) => entry.startsWith('A=')))).toEqual([['A=arg'], ['A=again']]);
  expect(graph.target.config.Env).toContain('A=again');
});

test('one instruction sees the environment before it', async () => {
  const { target } = await plan('FROM base\nENV a=1\nENV a=2 b=$a "c d"=\'$a\' e=\\$a');
  expect(target.config.Env!.slice(1)).toEqual(['a=2', 'b=1', 'c d=$a', 'e=$a']);
});

test('platform arguments: of the target and the build, overridden by --build-arg', async () => {
  const text =
    'FROM --platform=$BUILDPLATFORM base\nARG TARGETPLATFORM\nARG TARGETARCH\nARG TARGETVARIANT\nARG BUILDOS\nARG TARGETSTAGE\nRUN x';
  const platform = { os: 'linux', architecture: 'arm', variant: 'v7' };
  const graph = await plan(text, { platform, buildArgs: { BUILDOS: 'mine' } });
  const [run] = runs(graph);
  expect(run!.env.slice(1)).toEqual([
    'TARGETPLATFORM=linux/arm/v7',
    'TARGETARCH=arm',
    'TARGETVARIANT=v7',
    'BUILDOS=mine',
    'TARGETSTAGE=default',
  ]);
  expect(run!.platform).toEqual(linux);
  expect(graph.target.platform).toEqual(platform);
});

test('with no platform asked for, the image is for what its base is for', async () => {
  const arm = image({}, { architecture: 'arm64' });
  expect((await plan('FROM --platform=linux/arm64 arm', {}, { arm })).target.platform).toEqual({
    os: 'linux',
    architecture: 'arm64',
  });
});

test('proxies: in the environment without ARG, and then apart', async () => {
  const [bare, declared] = runs(await plan('FROM base\nRUN x\nARG HTTP_PROXY\nRUN y', { buildArgs: { HTTP_PROXY: 'p' } }));
  expect(bare!.env).not.toContain('HTTP_PROXY=p');
  expect(bare!.proxyEnv).toEqual(['HTTP_PROXY=p', 'http_proxy=p']);
  expect(declared!.env).toContain('HTTP_PROXY=p');
  expect(declared!.proxyEnv).toEqual(['http_proxy=p']);
});

test('history as BuildKit writes it', async () => {
  const text = [
    'FROM base AS b',
    'ARG A=1 B',
    'ENV C=2 D="x y"',
    'LABEL l="a b" m=n',
    'MAINTAINER me <m@e>',
    'WORKDIR /w/',
    'WORKDIR sub',
    'WORKDIR /',
    'RUN make "$A"',
    'RUN ["a", "b c"]',
    'SHELL ["/bin/bash", "-c"]',
    'CMD run it',
    'ENTRYPOINT ["e"]',
    'EXPOSE 90 80-81/udp',
    'VOLUME ["/v", "/w"]',
    'USER u:g',
    'STOPSIGNAL SIGINT',
    'HEALTHCHECK --interval=90s --retries=3 CMD ["t"]',
    'ONBUILD RUN x',
    'COPY --chown=1:2 --chmod=644 --parents a* $C /d/',
    'COPY <<F <<G /e/',
    'F',
    'G',
    'ADD --chown=me x.tar .',
  ].join('\n');
  expect(createdBy(await plan(text, {}, { base: image({}, { history: [{ created_by: 'below' }] }) }))).toEqual([
    'below',
    'ARG A=1 B',
    'ENV C=2 D=x y',
    'LABEL l=a b m=n',
    'MAINTAINER me <m@e>',
    'WORKDIR /w/',
    'WORKDIR /w/sub',
    'WORKDIR /',
    'RUN |2 A=1 B= /bin/sh -c make "$A" # buildkit',
    'RUN |2 A=1 B= a b c # buildkit',
    'SHELL [/bin/bash -c]',
    'CMD ["/bin/bash" "-c" "run it"]',
    'ENTRYPOINT ["e"]',
    'EXPOSE [80/udp 81/udp 90/tcp]',
    'VOLUME [/v /w]',
    'USER u:g',
    'STOPSIGNAL SIGINT',
    'HEALTHCHECK &{["CMD" "t"] "1m30s" "0s" "0s" "0s" \'\\x03\'}',
    'COPY --parents --chown=1:2 --chmod=644 a* 2 /d/ # buildkit',
    'COPY <<F <<G /e/ # buildkit',
    'ADD --chown=me x.tar . # buildkit',
  ]);
});

test('history entries: steps, empty layers, the comment', async () => {
  expect(told(await plan('FROM base\nENV A=1\nRUN x'))).toEqual([
    { entry: { created_by: 'ENV A=1', comment: 'buildkit.dockerfile.v0', empty_layer: true }, step: undefined },
    { entry: { created_by: 'RUN /bin/sh -c x # buildkit', comment: 'buildkit.dockerfile.v0' }, step: 1 },
  ]);
});

test('history of a base: a line for each layer, no more lines with a layer than layers', async () => {
  const layers = (...ids: string[]) => ({ type: 'layers' as const, diff_ids: ids });
  const lines = [{ created_by: 'one' }, { created_by: 'set', empty_layer: true }, { created_by: 'two' }];
  const of = async (...ids: string[]) => {
    const base = image({}, { created: '2001-01-01T00:00:00Z', history: lines, rootfs: layers(...ids) });
    const { target } = await plan('FROM base', {}, { base });
    return target.history.map(({ entry }) => entry);
  };
  const [one, set, two] = lines;
  expect(await of('sha256:1')).toEqual([one, set, { ...two, empty_layer: true }]);
  expect(await of('sha256:1', 'sha256:2', 'sha256:3')).toEqual([
    one,
    set,
    two,
    { created: '2001-01-01T00:00:00Z', created_by: 'created by buildkit', comment: 'buildkit.exporter.image.v0' },
  ]);
});

test('CMD and ENTRYPOINT: an inherited CMD is dropped, one of this stage is kept', async () => {
  const images = { full: image({ Cmd: ['c'], Entrypoint: ['e'] }) };
  expect((await plan('FROM full\nENTRYPOINT ["x"]', {}, images)).target.config).toMatchObject({ Cmd: null, Entrypoint: ['x'] });
  expect((await plan('FROM full\nCMD ["y"]\nENTRYPOINT ["x"]', {}, images)).target.config.Cmd).toEqual(['y']);
  expect((await plan('FROM full AS a\nCMD ["y"]\nFROM a\nENTRYPOINT x', {}, images)).target.config).toMatchObject({
    Cmd: null,
    Entrypoint: ['/bin/sh', '-c', 'x'],
  });
  expect((await plan('FROM full\nCMD []\nENTRYPOINT []', {}, images)).target.config).toMatchObject({ Cmd: [], Entrypoint: null });
});

test('scratch: nothing below, a PATH and a working directory', async () => {
  const { target, steps } = await plan('FROM scratch');
  expect(steps).toEqual([]);
  expect(target).toMatchObject({ state: undefined, config: { WorkingDir: '/' } });
  expect(target.config.Env).toEqual(['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin']);
});

test('labels of the command line win, and are the target’s alone', async () => {
  const graph = await plan('FROM base AS a\nLABEL x=1 y=2\nFROM base\nCOPY --from=a / /\nLABEL x=3', { labels: { x: '4' } });
  expect(graph.target.config.Labels).toEqual({ x: '4' });
});

test('EXPOSE: words of variables, ranges, protocols', async () => {
  const { config } = (await plan('FROM base\nENV P="80 81"\nEXPOSE $P 8000-8002/UDP 127.0.0.1:9000:90')).target;
  expect(Object.keys(config.ExposedPorts!)).toEqual(['80/tcp', '81/tcp', '90/tcp', '8000/udp', '8001/udp', '8002/udp']);
});

test('RUN: heredocs are the command, a script to execute, or the shell’s own', async () => {
  const text = 'FROM base\nRUN <<-A\n\tone\nA\nRUN <<S\n#!/x\nS\nRUN <<B cat\nb\nB\nRUN ["x", "y"]';
  const graph = await plan(text);
  expect(runs(graph).map(({ args }) => args.at(-1))).toEqual(['one\n', '/dev/pipes/S', '<<B cat\nb\nB', 'y']);
  expect(runs(graph)[1]!.pipes).toEqual([{ name: 'S', content: '#!/x\n' }]);
  expect(names(graph).slice(1, 3)).toEqual(['[2/5] RUN <<-A (one)', '[3/5] RUN <<S (#!/x)']);
});

test('mounts: defaults, places, variables', async () => {
  const text = [
    'FROM base AS tools',
    'FROM base',
    'WORKDIR /w',
    'ENV DIR=cache',
    'RUN --mount=type=cache,target=/$DIR/x,sharing=locked,uid=5 \\',
    ' --mount=target=src,rw --mount=from=tools,source=/usr,target=/tools --mount=from=scratch,target=/none \\',
    ' --mount=type=tmpfs,target=/t,size=64m --mount=type=secret,id=a/b --mount=type=secret,id=c,env=C,required \\',
    ' --mount=type=ssh x',
  ].join('\n');
  const graph = await plan(text, { buildArgs: { BUILDKIT_CACHE_MOUNT_NS: 'ns' } });
  const context = graph.steps.findIndex(({ op }) => op.kind === 'context');
  expect(runs(graph)[0]!.mounts).toEqual([
    {
      type: 'cache',
      target: '/cache/x',
      id: 'ns//cache/x',
      sharing: 'locked',
      readonly: false,
      from: undefined,
      source: '/',
      mode: 0o755,
      uid: 5,
      gid: 0,
    },
    { type: 'bind', target: '/w/src', from: context, source: '/', writable: true },
    { type: 'bind', target: '/tools', from: 0, source: '/usr', writable: false },
    { type: 'bind', target: '/none', from: undefined, source: '/', writable: false },
    { type: 'tmpfs', target: '/t', sizeBytes: 64 * 1024 * 1024, readonly: false },
    { type: 'secret', id: 'a/b', target: '/run/secrets/b', env: undefined, required: false, mode: 0o400, uid: 0, gid: 0 },
    { type: 'secret', id: 'c', target: undefined, env: 'C', required: true, mode: 0o400, uid: 0, gid: 0 },
    { type: 'ssh', id: 'default', target: undefined, required: false, mode: 0o600, uid: 0, gid: 0 },
  ]);
});

test.each([
  ['--mount=type=tmpfs,target=/', 'invalid mount target "/"'],
  ['--mount=type=chache,target=/x', 'unsupported mount type "chache" (did you mean cache?)'],
  ['--mount=type=cache,tagret=/x', "unexpected key 'tagret' in 'tagret=/x' (did you mean target?)"],
  ['--mount=type=cache,target', "invalid field 'target' must be a key=value pair"],
  ['--mount=type=bind,target=/x,uid=1', 'uid not allowed for "bind" type mounts'],
  ['--mount=type=secret', 'invalid secret mount. one of source, target required'],
  ['--mount=type=secret,id=x,required=maybe', 'invalid value for required: maybe'],
  ['--mount=type=bind,target=/x,sharing=locked', 'invalid cache sharing set for bind mount'],
  ['--mount=type=bind,required,target=/x', "unexpected key 'required' for mount type 'bind'"],
  ['--mount=type=cache,target=/x,mode=8', 'invalid value 8 for mode'],
])('RUN %s', async (mount, message) => {
  expect(await errorOf(`FROM base\nRUN ${mount} x`)).toBe(`dockerfile/mount: ${message}, line 2`);
});

test('COPY: destinations, owners, heredocs, links', async () => {
  const text = [
    'FROM base',
    'WORKDIR /w',
    'ENV X=x',
    'COPY a b',
    'COPY a .',
    'COPY a sub/./',
    'COPY --link --chmod=u=rwX,go=rX --chown=$X:y a /z/../d',
    'COPY --link a /e',
    "COPY <<F <<'G' f/",
    '"$X" \\$X',
    'F',
    '$X',
    'G',
    'ADD --unpack=false --exclude=*.md $X.tar /',
  ].join('\n');
  const graph = await plan(text);
  expect(copies(graph).map(({ destination, owner, mode, link }) => [destination, owner, mode, link])).toEqual([
    ['/w/b', undefined, undefined, false],
    ['/w/', undefined, undefined, false],
    ['/w/sub/', undefined, undefined, false],
    ['/d', { user: 'x', group: 'y' }, 'u=rwX,go=rX', false],
    ['/e', undefined, undefined, true],
    ['/w/f/', undefined, undefined, false],
    ['/', undefined, undefined, false],
  ]);
  expect(copies(graph)[5]).toMatchObject({
    from: undefined,
    inline: [
      { name: 'F', content: '"x" $X\n' },
      { name: 'G', content: '$X\n' },
    ],
  });
  expect(copies(graph)[6]).toMatchObject({ add: true, unpack: false, exclude: ['*.md'], paths: ['x.tar'], fromContext: true });
});

test('no context is loaded for a file of heredocs', async () => {
  expect(names(await plan('FROM scratch\nCOPY <<F /\nF'))).toEqual(['[1/1] COPY <<F /']);
});

test('COPY --from: stage by name and number, image, scratch', async () => {
  const graph = await plan(
    'FROM base AS One\nRUN x\nFROM scratch\nCOPY --from=ONE / /a\nCOPY --from=0 / /b\nCOPY --from=other / /c\nCOPY --from=scratch x* /d',
    {},
    { other: image() },
  );
  const other = graph.steps.findIndex(({ name }) => name === 'FROM docker.io/library/other:latest');
  expect(copies(graph).map(({ from, fromContext }) => [from, fromContext])).toEqual([
    [1, false],
    [1, false],
    [other, false],
    [undefined, false],
  ]);
});

test('ONBUILD: of an image and of a stage; carried out once, sources looked up where it fires', async () => {
  const images = { parent: image({ OnBuild: ['RUN one', 'COPY --from=tools /t /t'] }) };
  const graph = await plan('FROM base AS tools\nRUN t\nFROM parent AS child\nRUN own\nFROM child', {}, images);
  expect(names(graph).slice(2)).toEqual([
    '[child 1/4] FROM docker.io/library/parent:latest',
    '[child 2/4] ONBUILD RUN one',
    '[child 3/4] ONBUILD COPY --from=tools /t /t',
    '[child 4/4] RUN own',
  ]);
  expect(graph.target.config.OnBuild).toBeUndefined();

  const local = await plan('FROM base AS a\nONBUILD ENV X=1\nFROM a AS b\nRUN x\nFROM b\nRUN y');
  expect(createdBy(local)).toEqual(['ENV X=1', 'RUN /bin/sh -c x # buildkit', 'RUN /bin/sh -c y # buildkit']);
  expect((await plan('FROM base\nONBUILD RUN x')).target.config.OnBuild).toEqual(['RUN x']);
});

test('named contexts: a directory as a source, as a base, an image in place of another', async () => {
  const contexts = {
    src: { kind: 'directory' },
    base: { kind: 'image', reference: `docker.io/library/other@sha256:${'a'.repeat(64)}` },
  } as const;
  const graph = await planBuild(
    parseDockerfile(
      'FROM base\nCOPY --from=src a /a\nFROM src AS whole\nFROM scratch\nCOPY --from=0 / /\nCOPY --from=whole b /b',
      'Dockerfile',
    ),
    { buildArgs: {}, buildPlatform: linux, labels: {}, contexts },
    { config: async () => image() },
  );
  expect(names(graph)).toEqual([
    `[stage-0 1/2] FROM docker.io/library/other@sha256:${'a'.repeat(64)}`,
    '[context src] load from client',
    '[stage-0 2/2] COPY --from=src a /a',
    '[whole 1/1] FROM src',
    '[stage-2 1/2] COPY --from=0 / /',
    '[stage-2 2/2] COPY --from=whole b /b',
  ]);
  expect(copies(graph)[0]).toMatchObject({ from: 1, fromContext: true });
});

test.each([
  [
    'FROM $X',
    'dockerfile/base-name: base name ($X) should not be blank (X has no value: FROM sees the ARGs before the first FROM), line 1',
  ],
  [
    'ARG PLATFROM=linux/amd64\nFROM --platform=$PLATFORM base',
    'dockerfile/platform: empty platform value from expression $PLATFORM (did you mean PLATFROM?), line 2',
  ],
  [
    'FROM base AS build\nFROM biuld',
    'image/unknown: there is no image docker.io/library/biuld:latest (did you mean the stage build?), line 2',
  ],
  [
    'FROM base AS a\nCOPY --from=later x y\nFROM base AS later\nFROM a',
    'dockerfile/later-stage: cannot copy from stage "later", it needs to be defined before current stage "a", line 2',
  ],
  [
    'FROM base AS a\nRUN --mount=from=later,target=/x y\nFROM base AS later\nFROM a',
    'dockerfile/later-stage: cannot mount from stage "later" to "/x", stage needs to be defined before current command, line 2',
  ],
  ['FROM base AS a\nCOPY --from=a x y', 'dockerfile/circular: circular dependency detected on stage: a, line 2'],
  ['FROM base AS a\nCOPY --from=b x y\nFROM a AS b', 'dockerfile/circular: circular dependency detected on stage: a, line 3'],
  ['FROM base\nCOPY --from=3 x y', 'dockerfile/unknown-stage: invalid stage index 3 (stages are counted from 0 to 0), line 2'],
  [
    'FROM base\nCOPY --from=$x a b',
    'dockerfile/copy-from: variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround, line 2',
  ],
  [
    'FROM base\nCOPY --chmod=99999 a b',
    "dockerfile/chmod: invalid chmod parameter: '99999'. it should be octal string and between 0 and 07777 (or symbolic, as chmod(1) has it: u=rwX,go=rX), line 2",
  ],
  ['FROM base\nCOPY a[ /x', 'dockerfile/pattern: syntax error in pattern: a[, line 2'],
  [
    'FROM base\nCOPY https://u:p@h/x /x',
    "dockerfile/remote-source: source can't be a URL for COPY: https://h/x (ADD takes it), line 2",
  ],
  [
    'FROM base\nADD --checksum=sha256:1 https://h/x /x',
    'dockerfile/checksum: invalid checksum digest length: sha256:1 (as in --checksum=sha256: and 64 hex digits in lower case), line 2',
  ],
  [
    'FROM base\nADD --keep-git-dir=true https://h/x.git?keep-git-dir=false /x',
    'dockerfile/keep-git-dir: inconsistent keep-git-dir configuration, line 2',
  ],
  [
    'FROM base\nADD https://h/x.git?no=thing /x',
    'context/git-url: unexpected query "no" (git URLs take ref, tag, branch, subdir, checksum, commit, keep-git-dir, submodules, mtime, fetch-by-commit), line 2',
  ],
  [
    'FROM base\nADD --checksum=sha256:1 https://h/a https://h/b /x/',
    "dockerfile/checksum: checksum can't be specified for multiple sources, line 2",
  ],
  ['FROM base\nADD --checksum=sha256:1 a /x', 'dockerfile/checksum: checksum requires HTTP(S) or Git sources, line 2'],
  ['FROM base\nEXPOSE 70000', 'dockerfile/expose: invalid containerPort: 70000, line 2'],
  ['FROM base\nEXPOSE 80/htcp', 'dockerfile/expose: invalid proto: htcp, line 2'],
  ['FROM base\nSTOPSIGNAL SIGFOO', 'dockerfile/signal: invalid signal: SIGFOO (a name as SIGTERM, or a number), line 2'],
  ['FROM base\nENV A=${B?needed}', 'dockerfile/substitution: failed to process "${B?needed}": B: needed, line 2'],
  ['FROM base\nRUN []', 'dockerfile/empty-command: invalid exec op with no args (RUN needs a command), line 2'],
  [
    'FROM base\nRUN ["a\\u0000b"]',
    'dockerfile/zero-byte: "a\\x00b" holds a zero byte, which no argument or variable can, line 2',
  ],
  ['FROM base\nRUN --device= x', 'dockerfile/device: a device needs a name, line 2'],
  [
    'FROM base\nRUN --device=a/b=c,requird=1 x',
    "dockerfile/device: unexpected key 'requird' in 'requird=1' (did you mean required?), line 2",
  ],
  ['FROM base\nRUN --device=a/b,required=2 x', 'dockerfile/device: invalid value for required: 2, line 2'],
])('%s', async (text, error) => {
  expect(await errorOf(text)).toBe(error);
});

test('an unknown target: what it could have been', async () => {
  expect(await errorOf('FROM base AS build\nFROM base AS test', { target: 'biuld' })).toBe(
    'dockerfile/unknown-target: target stage "biuld" could not be found (did you mean build?), line 1',
  );
});

test('any number of stages is no depth', async () => {
  const chain = Array.from({ length: 20_000 }, (_, i) => `FROM ${i === 0 ? 'base' : `s${i - 1}`} AS s${i}`);
  expect((await plan(chain.join('\n'))).steps).toHaveLength(1);
});
