import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TbuildError } from '../../../src/base/errors.ts';
import type {
  BuildOptions,
  ImageDetails,
  ImageRow,
  Library,
  LoadOptions,
  RunOptions,
  SaveOptions,
} from '../../../src/cli/library.ts';
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
      return { image, names: ['app:latest'] };
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
      ['buildArgs', 'context', 'labels', 'network', 'noCache', 'onEvent', 'outputs', 'secrets', 'signal', 'tags'].sort(),
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
      await tbuild(['-o', 'type=oci', '-o', 'type=docker', '.'], { library }),
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
      error: TBUILD_PROGRESS is one of auto, plain, quiet, rawjson, tty, not "fancy"
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
      return 42;
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
      '--name',
      'n',
      '--read-only',
      '-h',
      'box',
      'app',
      'ls',
      '-l',
    ];
    expect((await tbuild(args, { library, env: { HOME: '/root' } })).exitCode).toBe(42);
    expect(given).toEqual({
      image: 'app',
      command: ['ls', '-l'],
      remove: true,
      interactive: true,
      tty: true,
      env: ['FROM_FILE=a b', 'INDENTED=1', 'HOME=/root', 'QUOTED="x"', 'A=1', 'HOME=/root'],
      volumes: ['/a:/b:ro'],
      workdir: '/w',
      user: '1:2',
      entrypoint: '',
      network: 'none',
      name: 'n',
      readOnly: true,
      hostname: 'box',
    });
  });

  test('exits as docker run does when there is no container', async () => {
    const exitCodes = [];
    for (const error of [
      new TbuildError('image/unknown', 'no image app'),
      new TbuildError('run/not-executable', 'exec /etc/passwd: permission denied'),
      new TbuildError('run/not-found', 'exec nosuch: not found'),
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
const row = (repository: string | undefined, tag: string | undefined, ageMs: number, hex: string): ImageRow => ({
  repository,
  tag,
  digest: `sha256:${hex.repeat(32)}`,
  id: `sha256:${hex.repeat(32)}`,
  created: new Date(Date.now() - ageMs).toISOString(),
  sizeBytes: 142_400_000,
});

describe('images', () => {
  const library = {
    listImages: async () => [
      row('debian', '12', 200 * hour, 'ab'),
      row('app', 'latest', 3 * hour, 'cd'),
      row('app', '1', 3 * hour, 'cd'),
      row(undefined, undefined, 5 * hour, 'ef'),
    ],
  };

  test('a table, the newest first', async () => {
    expect((await tbuild(['images'], { library })).stdout).toMatchInlineSnapshot(`
      "REPOSITORY   TAG       IMAGE ID       CREATED       SIZE
      app          1         cdcdcdcdcdcd   3 hours ago   142MB
      app          latest    cdcdcdcdcdcd   3 hours ago   142MB
      <none>       <none>    efefefefefef   5 hours ago   142MB
      debian       12        abababababab   8 days ago    142MB
      "
    `);
    expect((await tbuild(['images'], { library: { listImages: async () => [] } })).stdout).toMatchInlineSnapshot(`
      "REPOSITORY   TAG       IMAGE ID   CREATED   SIZE
      "
    `);
  });

  test('IDs once each, names, whole digests', async () => {
    expect((await tbuild(['images', '-q'], { library })).stdout).toBe('cdcdcdcdcdcd\nefefefefefef\nabababababab\n');
    expect((await tbuild(['ls', '-q', 'debian'], { library })).stdout).toBe('abababababab\n');
    expect((await tbuild(['images', '-q', 'app:1', '--no-trunc'], { library })).stdout).toBe(`sha256:${'cd'.repeat(32)}\n`);
    expect((await tbuild(['images', '--digests', 'app:1'], { library })).stdout).toContain('sha256:');
  });

  test('json, an object a line', async () => {
    const lines = (await tbuild(['images', '--format=json', 'app'], { library })).stdout.trim().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { Repository: 'app', Tag: '1', ID: 'cdcdcdcdcdcd', Size: '142MB', CreatedSince: '3 hours ago' },
      { Repository: 'app', Tag: 'latest' },
    ]);
  });
});

describe('one image', () => {
  const details: ImageDetails = {
    id: image,
    digest: `sha256:${'12'.repeat(32)}`,
    names: ['app:latest', 'localhost:5000/app:1'],
    config: {
      architecture: 'amd64',
      os: 'linux',
      created: '2020-01-01T00:00:00Z',
      config: { Env: ['PATH=/bin'], Cmd: ['sh'] },
      rootfs: { type: 'layers', diff_ids: ['sha256:aa', 'sha256:bb'] },
      history: [
        { created: '2020-01-01T00:00:00Z', created_by: 'ADD rootfs.tar /' },
        { created: '2020-01-01T00:00:00Z', created_by: 'ENV PATH=/bin', empty_layer: true },
        {
          created: '2020-01-01T00:00:00Z',
          created_by: 'RUN set -ex;\tapt-get update && apt-get install -y --no-install-recommends gcc',
          comment: 'tbuild',
        },
      ],
    },
    layerSizesBytes: [100_000_000, 5_500],
  };
  const library = { describeImage: async () => details };

  test('inspect', async () => {
    expect((await tbuild(['inspect', 'app'], { library })).stdout).toMatchInlineSnapshot(`
      "[
          {
              "Id": "sha256:0f3a7c1be1b2c8a6c2d3f0a1b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7",
              "RepoTags": [
                  "app:latest",
                  "localhost:5000/app:1"
              ],
              "RepoDigests": [
                  "app@sha256:1212121212121212121212121212121212121212121212121212121212121212",
                  "localhost:5000/app@sha256:1212121212121212121212121212121212121212121212121212121212121212"
              ],
              "Created": "2020-01-01T00:00:00Z",
              "Author": "",
              "Config": {
                  "Env": [
                      "PATH=/bin"
                  ],
                  "Cmd": [
                      "sh"
                  ]
              },
              "Architecture": "amd64",
              "Os": "linux",
              "Size": 100005500,
              "RootFS": {
                  "Type": "layers",
                  "Layers": [
                      "sha256:aa",
                      "sha256:bb"
                  ]
              }
          }
      ]
      "
    `);
  });

  test('history', async () => {
    const ages = /\d+ (?:years|months) ago/g;
    expect((await tbuild(['history', 'app'], { library })).stdout.replace(ages, '6 years ago')).toMatchInlineSnapshot(`
      "IMAGE          CREATED       CREATED BY                                      SIZE      COMMENT
      0f3a7c1be1b2   6 years ago   RUN set -ex; apt-get update && apt-get insta…   5.5kB     tbuild
      <missing>      6 years ago   ENV PATH=/bin                                   0B
      <missing>      6 years ago   ADD rootfs.tar /                                100MB
      "
    `);
    const lines = (await tbuild(['history', '--format', 'json', '--no-trunc', 'app'], { library })).stdout.trim().split('\n');
    expect(JSON.parse(lines[0]!)).toMatchObject({ ID: image, Size: '5.5kB', Comment: 'tbuild' });
    expect(lines).toHaveLength(3);
  });
});

test('rmi goes on after a failure', async () => {
  const removeImage: Library['removeImage'] = async (name, { force }) => {
    if (name === 'gone') throw new TbuildError('image/unknown', 'there is no image gone');
    return { untagged: [`${name}:latest`], deleted: force ? [image] : [] };
  };
  expect(await tbuild(['rmi', '-f', 'gone', 'app'], { library: { removeImage } })).toEqual({
    exitCode: 6,
    stdout: `Untagged: app:latest\nDeleted: ${image}\n`,
    stderr: 'error: there is no image gone\n',
  });
});

describe('load and save', () => {
  let loaded: LoadOptions | undefined;
  let saved: SaveOptions | undefined;
  const library: Partial<Library> = {
    loadImages: async (options) => {
      loaded = options;
      return [
        { id: image, names: ['app:1', 'app:2'] },
        { id: image, names: [] },
      ];
    },
    saveImages: async (options) => {
      saved = options;
      if ('stream' in options.output) options.output.stream.write('archive');
    },
  };

  test('load', async () => {
    expect((await tbuild(['load', '-i', 'a.tar'], { library })).stdout).toBe(
      `Loaded image: app:1\nLoaded image: app:2\nLoaded image ID: ${image}\n`,
    );
    expect(loaded).toEqual({ source: { archive: 'a.tar' } });
    expect((await tbuild(['load', '-q', '--oci-layout', 'dir', '-t', 'app'], { library })).stdout).toBe('');
    expect(loaded).toEqual({ source: { layout: 'dir', name: 'app' } });
    await tbuild(['load'], { library, stdin: 'archive' });
    expect('stream' in loaded!.source && (await loaded!.source.stream.toArray()).join('')).toBe('archive');
    expect((await tbuild(['load', '-i', 'a', '--oci-layout', 'b'], { library })).exitCode).toBe(2);
    expect((await tbuild(['load', '-i', 'a', '-t', 'b'], { library })).exitCode).toBe(2);
  });

  test('save', async () => {
    await tbuild(['save', '-o', 'x.tar', '--format', 'oci-archive', 'a', 'b'], { library });
    expect(saved).toEqual({ images: ['a', 'b'], format: 'oci', output: { path: 'x.tar' } });
    expect((await tbuild(['save', 'a'], { library })).stdout).toBe('archive');
    expect(saved!.format).toBe('docker');
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
    await tbuild(['fsck'], { library: { checkStore: async () => ({ ...report, problems: ['layer 12: content differs'] }) } }),
  ).toMatchObject({
    exitCode: 7,
    stdout: 'layer 12: content differs\nchecked 2 images, 5 layers, 9 blobs: 1 problem\n',
  });
});

test('info', async () => {
  const library: Partial<Library> = {
    describeStore: async () => ({
      root: '/store',
      driver: 'directory',
      driverReasons: ['erofs: the store is on tmpfs'],
      images: 2,
      layers: 5,
      sizeBytes: 7_800_000,
      kernel: '6.18.44',
      runtime: 'tbuild-runner',
    }),
  };
  const { stdout } = await tbuild(['info'], { library });
  expect(stdout.replace(/v\d+\.\d+\.\d+/, 'v24')).toMatchInlineSnapshot(`
    "Version:      0.1.0
    Node.js:      v24
    Kernel:       6.18.44
    Store:        /store
    Images:       2
    Layers:       5 (7.8MB)
    Runtime:      tbuild-runner
    Layer driver: directory
      erofs: the store is on tmpfs
    "
  `);
  expect(JSON.parse((await tbuild(['info', '--format=json'], { library })).stdout)).toMatchObject({
    driver: 'directory',
    layers: 5,
  });
});
