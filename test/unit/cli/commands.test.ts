import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TbuildError } from '../../../src/base/errors.ts';
import { Struct } from '../../../src/base/struct.ts';
import type { BuildOptions } from '../../../src/build/build.ts';
import type { Library } from '../../../src/cli/library/library.ts';
import type { RunOptions } from '../../../src/containers/run.ts';
import type { HistoryRow } from '../../../src/images/describe.ts';
import type { Image } from '../../../src/images/image.ts';
import type { LoadOptions } from '../../../src/images/load.ts';
import type { SaveOptions } from '../../../src/images/save.ts';
import { FakeOutput, tbuild } from './fake-surroundings.ts';
import { at, image, log } from './progress/script.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tbuild-cli-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

describe('build', () => {
  let given: BuildOptions | undefined;
  beforeEach(() => {
    given = undefined;
  });
  const library: Partial<Library> = {
    buildImage: async (options) => {
      given = options;
      options.onEvent(at.plan(0, '[1/1] FROM debian'));
      options.onEvent(at.cached(10, 1));
      options.onEvent(at.result(20, ['app:latest']));
      return { image, names: ['app:latest'], metadata: { 'containerimage.config.digest': image } };
    },
  };

  test('flags become options', async () => {
    const args =
      'build -t app -t app:2 -f sub/Dockerfile --build-arg A=1 --build-arg TOKEN --target build --label l=1 --no-cache --network none --secret id=TOKEN -o type=oci,dest=x.tar dir';
    const { exitCode } = await tbuild(args.split(' '), { library, env: { TOKEN: 'abc' } });
    expect(exitCode).toBe(0);
    expect(given!.signal.aborted).toBe(false);
    expect(given).toEqual({
      onEvent: expect.any(Function),
      signal: expect.any(AbortSignal),
      stdout: expect.any(FakeOutput),
      context: 'dir',
      dockerfile: 'sub/Dockerfile',
      tags: ['app', 'app:2'],
      buildArgs: { A: '1', TOKEN: 'abc' },
      target: 'build',
      labels: { l: '1' },
      noCache: true,
      network: 'none',
      secrets: [{ id: 'TOKEN', env: 'TOKEN' }],
      outputs: [{ type: 'oci', destination: 'x.tar', tar: true }],
    });
  });

  test('what is not said is not passed', async () => {
    await tbuild(['.'], { library });
    expect(Object.keys(given!).sort()).toEqual(
      [
        'buildArgs',
        'context',
        'labels',
        'network',
        'noCache',
        'onEvent',
        'outputs',
        'secrets',
        'signal',
        'stdout',
        'tags',
      ].sort(),
    );
  });

  test('progress goes to standard error, -q writes the ID to standard output', async () => {
    expect(await tbuild(['-t', 'app', '.'], { library })).toMatchInlineSnapshot(`
      {
        "exitCode": 0,
        "stderr": "#1 [1/1] FROM debian
      #1 CACHED

      named    app:latest
      image    sha256:0f3a7c1be1b2c8a6c2d3f0a1b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7
      log      /store/builds/1/log
      ",
        "stdout": "",
      }
    `);
    for (const args of [
      ['-q', '.'],
      ['--progress=quiet', '.'],
    ]) {
      expect(await tbuild(args, { library })).toEqual({ exitCode: 0, stdout: `${image}\n`, stderr: '' });
    }
    expect((await tbuild(['.'], { library, env: { TBUILD_PROGRESS: 'quiet', BUILDKIT_PROGRESS: 'plain' } })).stderr).toBe('');
  });

  test('rawjson is the events as they are', async () => {
    const { stderr, stdout } = await tbuild(['--progress=rawjson', '.'], { library });
    const events = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(events).toEqual(
      [at.plan(0, '[1/1] FROM debian'), at.cached(10, 1), at.result(20, ['app:latest'])].map((event) =>
        JSON.parse(JSON.stringify(event)),
      ),
    );
    expect(stdout).toBe('');
  });

  test('rawjson says an error once, as an object, whoever found it', async () => {
    const early = await tbuild(['--progress=rawjson', '-o', 'type=zip', '.'], { library });
    expect(early.exitCode).toBe(2);
    expect(JSON.parse(early.stderr)).toMatchObject({ type: 'error', error: { code: 'usage/bad-value' }, log: '' });

    const error = new TbuildError('dockerfile/empty', 'the Dockerfile is empty');
    const failing: Partial<Library> = {
      buildImage: async ({ onEvent }) => {
        onEvent(at.error(0, { code: error.code, message: error.message }));
        throw error;
      },
    };
    const late = await tbuild(['--progress=rawjson', '.'], { library: failing });
    expect(late.exitCode).toBe(3);
    expect(JSON.parse(late.stderr)).toMatchObject({ type: 'error', error: { code: 'dockerfile/empty' }, log });
  });

  test('the image ID in a file, and no old one after a failure', async () => {
    const path = join(directory, 'iid');
    expect((await tbuild(['--iidfile', path, '.'], { library })).exitCode).toBe(0);
    expect(await readFile(path, 'utf8')).toBe(image);
    const failing = { buildImage: () => Promise.reject(new TbuildError('run/exit', 'exited with code 1')) };
    expect((await tbuild(['--iidfile', path, '.'], { library: failing })).exitCode).toBe(1);
    await expect(readFile(path)).rejects.toThrow('ENOENT');
  });

  test('what cannot go together', async () => {
    const terminal = () => new FakeOutput({ isTTY: true });
    const said = [
      await tbuild(['-f', '-', '-'], { library }),
      await tbuild(['-q', '-o', 'type=oci', '.'], { library }),
      await tbuild(['-o', 'type=oci', '-o', 'type=docker,dest=-', '.'], { library }),
      await tbuild(['-o', 'type=oci', '.'], { library, stdout: terminal() }),
      await tbuild(['--progress=tty', '.'], { library }),
      await tbuild(['.'], { library, env: { TBUILD_PROGRESS: 'fancy' } }),
    ];
    expect(said.every(({ exitCode }) => exitCode === 2)).toBe(true);
    expect(said.map(({ stderr }) => stderr).join('')).toMatchInlineSnapshot(`
      "error: the context and the Dockerfile cannot both come from standard input
      error: only one thing can be written to standard output: an --output, or the image ID of --quiet
      error: only one thing can be written to standard output: an --output, or the image ID of --quiet
      error: an archive is not written to a terminal
      hint: name a file: --output type=oci,dest=FILE; or redirect standard output
      error: --progress=tty needs a terminal, and standard error is none
      hint: --progress=plain does without
      error: TBUILD_PROGRESS is one of auto, none, plain, quiet, rawjson, tty, not "fancy"
      hint: see tbuild build --help
      "
    `);
    expect(given).toBeUndefined();
  });

  test('a shell that asks for a terminal display gets lines where there is no terminal', async () => {
    expect((await tbuild(['.'], { library, env: { BUILDKIT_PROGRESS: 'tty' } })).stderr).toContain('#1 CACHED');
  });
});

describe('run', () => {
  let given: RunOptions | undefined;
  const library: Partial<Library> = {
    runContainer: async (options) => {
      given = options;
      return { id: 'f00', exitCode: 42 };
    },
  };

  test('flags become options, and the exit code is the container’s', async () => {
    const file = join(directory, 'env');
    await writeFile(file, '# comment\nFROM_FILE=a b\r\n\n  INDENTED=1\nHOME\nUNSET\nQUOTED="x"\n');
    const args = [
      'run',
      '--rm',
      '-it',
      '-e',
      'A=1',
      '-eHOME',
      '--env-file',
      file,
      '-v',
      '/a:/b:ro',
      '-w',
      '/w',
      '-u',
      '1:2',
      '--entrypoint',
      '',
      '--network=none',
      '--read-only',
      '-h',
      'box',
      'app',
      'ls',
      '-l',
    ];
    expect((await tbuild(args, { library, env: { HOME: '/root' } })).exitCode).toBe(42);
    expect(given).toMatchObject({
      image: 'app',
      command: ['ls', '-l'],
      openStdin: true,
      terminal: true,
      env: ['FROM_FILE=a b', 'INDENTED=1', 'HOME=/root', 'QUOTED="x"', 'A=1', 'HOME=/root'],
      mounts: [{ type: 'bind', source: '/a', target: '/b', readonly: true }],
      workdir: '/w',
      user: '1:2',
      entrypoint: [],
      network: { mode: 'none' },
      readonlyRoot: true,
      hostname: 'box',
      pull: 'missing',
      autoRemove: true,
      attach: {
        streams: ['stdin', 'stdout', 'stderr'],
        detachKeys: undefined,
        sigProxy: true,
        terminalSize: { width: 80, height: 24 },
      },
      showPull: expect.any(Function),
    });
  });

  test('exits as docker run does when there is no container', async () => {
    const exitCodes = [];
    for (const error of [
      new TbuildError('image/unknown', 'no image app'),
      new TbuildError('run/command-not-executable', 'exec /etc/passwd: permission denied'),
      new TbuildError('run/command-not-found', 'exec nosuch: not found'),
      new TypeError('bug'),
    ]) {
      exitCodes.push((await tbuild(['run', 'app'], { library: { runContainer: () => Promise.reject(error) } })).exitCode);
    }
    expect(exitCodes).toEqual([125, 126, 127, 125]);
    expect((await tbuild(['run', '--frob', 'app'], { library })).exitCode).toBe(125);
  });

  test('a bad file of variables is named by line, never quoted', async () => {
    const file = join(directory, 'bad-env');
    await writeFile(file, 'A=1\nhunter2 is my password\n');
    const { stderr, exitCode } = await tbuild(['run', '--env-file', file, 'app'], { library });
    expect(exitCode).toBe(125);
    expect(stderr).toContain(':2: the name of an environment variable');
    expect(stderr).not.toContain('hunter2');
  });
});

const hour = 3_600_000;

function imageOf(names: readonly string[], ageMs: number, hex: string): Image {
  return {
    id: `sha256:${hex.repeat(32)}`,
    names,
    config: {
      architecture: 'amd64',
      os: 'linux',
      created: new Date(Date.now() - ageMs).toISOString(),
      rootfs: { type: 'layers', diff_ids: [] },
    },
    configText: '{}',
    layers: [],
    manifest: hex === 'ab' ? `sha256:${'12'.repeat(32)}` : undefined,
    sizeBytes: 142_400_000,
    added: 0,
    tagged: undefined,
  };
}

describe('images', () => {
  const library: Partial<Library> = {
    listImages: async () => [
      imageOf(['docker.io/library/debian:12'], 200 * hour, 'ab'),
      imageOf(['docker.io/library/app:1', 'docker.io/library/app:latest', 'localhost:5000/app:1'], 3 * hour, 'cd'),
      imageOf([], 5 * hour, 'ef'),
    ],
  };

  test('a table, the newest first', async () => {
    expect((await tbuild(['images'], { library })).stdout).toMatchInlineSnapshot(`
      "REPOSITORY           TAG       IMAGE ID       CREATED       SIZE
      app                  1         cdcdcdcdcdcd   3 hours ago   142MB
      app                  latest    cdcdcdcdcdcd   3 hours ago   142MB
      localhost:5000/app   1         cdcdcdcdcdcd   3 hours ago   142MB
      <none>               <none>    efefefefefef   5 hours ago   142MB
      debian               12        abababababab   8 days ago    142MB
      "
    `);
    expect((await tbuild(['images'], { library: { listImages: async () => [] } })).stdout).toMatchInlineSnapshot(`
      "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE
      "
    `);
  });

  test('IDs, names, whole digests', async () => {
    expect((await tbuild(['images', '-q'], { library })).stdout).toBe(
      'cdcdcdcdcdcd\ncdcdcdcdcdcd\ncdcdcdcdcdcd\nefefefefefef\nabababababab\n',
    );
    expect((await tbuild(['ls', '-q', 'debian'], { library })).stdout).toBe('abababababab\n');
    expect((await tbuild(['images', '-q', 'app:1', '--no-trunc'], { library })).stdout).toBe(`sha256:${'cd'.repeat(32)}\n`);
    expect((await tbuild(['images', '--digests', 'debian:12'], { library })).stdout).toContain(`sha256:${'12'.repeat(32)}`);
    expect((await tbuild(['images', '--digests', 'app:1'], { library })).stdout).toContain('<none>');
    expect((await tbuild(['images', '-q', 'localhost:5000/app'], { library })).stdout).toBe('cdcdcdcdcdcd\n');
  });

  test('json, an object a line', async () => {
    const lines = (await tbuild(['images', '--format=json', 'app'], { library })).stdout.trim().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { Repository: 'app', Tag: '1', ID: 'cdcdcdcdcdcd', Size: '142MB', CreatedSince: '3 hours ago' },
      { Repository: 'app', Tag: 'latest' },
    ]);
  });
});

test('inspect prints docker’s array', async () => {
  const absent = (kind: 'container' | 'image' | 'network' | 'volume') => async () => {
    throw new TbuildError(`${kind}/unknown`, `no ${kind} of that name`);
  };
  const library = {
    inspectContainer: async (name: string) =>
      name === 'c' ? new Struct({ Id: 'c', Labels: { a: 'b' } }) : absent('container')(),
    inspectImage: async (name: string) => (/^[abc]$/.test(name) ? ({ Id: image, RepoTags: [name] } as never) : absent('image')()),
    inspectNetwork: absent('network'),
    inspectVolume: absent('volume'),
  };
  const inspect = (...args: string[]) => tbuild(['inspect', ...args], { library });
  expect(JSON.parse((await inspect('a', 'c')).stdout)).toEqual([
    { Id: image, RepoTags: ['a'] },
    { Id: 'c', Labels: { a: 'b' } },
  ]);
  expect((await inspect('--type=image', '-f', '{{.Id}}', 'c')).stdout).toBe(`${image}\n`);
  expect((await inspect('--format=json', 'c')).stdout).toBe('[{"Id":"c","Labels":{"a":"b"}}]\n');
  expect(await inspect('x', 'c')).toMatchObject({ exitCode: 1, stderr: 'error: no such object: x\n' });
  expect(await inspect('-f', '{{.State.Health}}', 'c')).toMatchObject({
    stdout: '\n',
    stderr: expect.stringContaining('map has no entry for key "State"'),
  });
  expect((await inspect('-f', '{{.Labels.none}}', 'c')).stdout).toBe('<no value>\n');
});

test('history', async () => {
  const created = new Date(Date.now() - 50 * hour).toISOString();
  const rows: HistoryRow[] = [
    {
      id: image,
      created,
      createdBy: 'RUN set -ex;\tapt-get update && apt-get install -y --no-install-recommends gcc',
      sizeBytes: 5500,
      comment: 'tbuild',
    },
    { id: undefined, created, createdBy: 'ENV PATH=/bin', sizeBytes: 0, comment: '' },
    { id: undefined, created: undefined, createdBy: '', sizeBytes: 100_000_000, comment: '' },
  ];
  const library = { imageHistory: async () => rows };
  expect((await tbuild(['history', 'app'], { library })).stdout).toMatchInlineSnapshot(`
    "IMAGE          CREATED      CREATED BY                                      SIZE      COMMENT
    0f3a7c1be1b2   2 days ago   RUN set -ex; apt-get update && apt-get insta…   5.5kB     tbuild
    <missing>      2 days ago   ENV PATH=/bin                                   0B        
    <missing>      N/A                                                          100MB     
    "
  `);
  const lines = (await tbuild(['history', '--format', 'json', '--no-trunc', 'app'], { library })).stdout.trim().split('\n');
  expect(JSON.parse(lines[0]!)).toMatchObject({
    ID: image,
    Size: '5.5kB',
    Comment: 'tbuild',
    CreatedBy: expect.stringContaining('gcc'),
  });
  expect(lines).toHaveLength(3);
});

test('rmi goes on after a failure', async () => {
  const removeImage: Library['removeImage'] = async (name, { force }) => {
    if (name === 'gone') throw new TbuildError('image/unknown', 'there is no image gone');
    return [{ untagged: `docker.io/library/${name}:latest` }, ...(force ? [{ deleted: image } as const] : [])];
  };
  expect(await tbuild(['rmi', '-f', 'gone', 'app'], { library: { removeImage } })).toEqual({
    exitCode: 6,
    stdout: `Untagged: app:latest\nDeleted: ${image}\n`,
    stderr: 'error: there is no image gone\n',
  });
});

describe('load and save', () => {
  let loaded: LoadOptions | undefined;
  let saved: (SaveOptions & { names: readonly string[] }) | undefined;
  const library: Partial<Library> = {
    loadImages: async (options) => {
      loaded = options;
      return [imageOf(['docker.io/library/app:1', 'docker.io/library/app:2'], 0, 'cd'), imageOf([], 0, 'ef')];
    },
    saveImages: async (names, options) => {
      saved = { names, ...options };
      if (typeof options.destination !== 'string') options.destination.write('archive');
    },
  };

  test('load', async () => {
    expect((await tbuild(['load', '-i', 'a.tar'], { library })).stdout).toBe(
      `Loaded image: app:1\nLoaded image: app:2\nLoaded image ID: sha256:${'ef'.repeat(32)}\n`,
    );
    expect(loaded).toEqual({ input: { path: 'a.tar' } });
    expect((await tbuild(['load', '-q', '--oci-layout', 'dir', '-t', 'app'], { library })).stdout).toBe('');
    expect(loaded).toEqual({ input: { path: 'dir' }, names: ['app'] });
    await tbuild(['load'], { library, stdin: 'archive' });
    expect('stream' in loaded!.input && (await loaded!.input.stream.toArray()).join('')).toBe('archive');
    expect((await tbuild(['load', '-i', 'a', '--oci-layout', 'b'], { library })).exitCode).toBe(2);
    expect((await tbuild(['load', '-i', 'a', '-t', 'b'], { library })).exitCode).toBe(2);
  });

  test('save', async () => {
    await tbuild(['save', '-o', 'x.tar', '--format', 'oci-archive', 'a', 'b'], { library });
    expect(saved).toEqual({ names: ['a', 'b'], format: 'oci', destination: 'x.tar', compression: 'gzip', keepsOthers: true });
    expect((await tbuild(['save', 'a'], { library })).stdout).toBe('archive');
    expect(saved).toMatchObject({ format: 'docker', compression: 'none', keepsOthers: false });
    await tbuild(['save', '--compression', 'zstd', '--compression-level', '19', 'a'], { library });
    expect(saved).toMatchObject({ format: 'docker', compression: 'zstd', level: 19, keepsOthers: true });
    await tbuild(['save', '--format', 'oci', '--compression', 'uncompressed', '--force-compression', 'a'], { library });
    expect(saved).toMatchObject({ compression: 'none', keepsOthers: false });
    expect((await tbuild(['save', '--compression', 'gzip', '--compression-level', '10', 'a'], { library })).exitCode).toBe(2);
    expect((await tbuild(['save', '--compression', 'xz', 'a'], { library })).exitCode).toBe(2);
    const refused = await tbuild(['save', 'a'], { library, stdout: new FakeOutput({ isTTY: true }) });
    expect(refused).toMatchObject({ exitCode: 2, stdout: '' });
  });
});

test('fsck exits with the store’s code when something is wrong', async () => {
  const report = { images: 2, layers: 5, blobs: 9 };
  expect(await tbuild(['fsck'], { library: { checkStore: async () => ({ ...report, problems: [] }) } })).toMatchObject({
    exitCode: 0,
    stdout: 'checked 2 images, 5 layers, 9 blobs: no problems\n',
  });
  expect(
    await tbuild(['fsck'], {
      library: {
        checkStore: async () => ({
          ...report,
          problems: [{ what: 'the content differs', path: 'layers/12.erofs', hint: 'build it again' }],
        }),
      },
    }),
  ).toMatchObject({
    exitCode: 7,
    stdout: 'layers/12.erofs: the content differs\n  hint: build it again\nchecked 2 images, 5 layers, 9 blobs: 1 problem\n',
  });
});

test('info', async () => {
  const library: Partial<Library> = {
    describeStore: async () => ({
      root: '/store',
      driver: {
        driver: 'erofs',
        loop: true,
        reasons: ['erofs: the kernel is older than 6.12', 'erofs-loop: works'],
        takesUppers: true,
        userns: true,
        kernel: '6.1',
        fileSystem: 0xef53,
        forced: false,
      },
      ids: undefined,
      containers: { running: 1, paused: 0, stopped: 2 },
      images: 2,
      layers: 5,
      layersSizeBytes: 7_800_000,
    }),
  };
  const { stdout } = await tbuild(['info'], { library });
  expect(stdout.replace(process.version, 'v24').replace(release(), '6.1')).toMatchInlineSnapshot(`
    "Version:      0.1.0
    Node.js:      v24
    Kernel:       6.1
    Store:        /store
    Containers:   3 (1 running, 0 paused, 2 stopped)
    Images:       2
    Layers:       5 (7.8MB)
    Layer driver: erofs through loop devices
      erofs: the kernel is older than 6.12
      erofs-loop: works
    "
  `);
  expect(JSON.parse((await tbuild(['info', '--format=json'], { library })).stdout)).toMatchObject({
    driver: { loop: true },
    layers: 5,
  });
});
