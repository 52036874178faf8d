// What it costs to observe a command: `with-root` on a layer of sources that is traced, beside the same layer mounted. Wall, and CPU with the observer's own.
// The container's programs are the host's, bound; so it needs cc. Says figures, judges nothing.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { compare, median, type Rival, show } from './measure.ts';

const repository = path.join(import.meta.dirname, '..');
const runner = path.join(repository, 'dist/tbuild-runner');
mkdirSync(path.join(repository, '.tbuild'), { recursive: true });
const scratch = mkdtempSync(path.join(repository, '.tbuild/bench-observed-'));
const runs = Number(process.env.BENCH_RUNS ?? 7);

/** What a build does, each over 2,000 sources of which it needs more or less. */
const COMMANDS: readonly [title: string, command: string][] = [
  ['true', 'true'],
  ['cat of one file', 'cat /src/dir0/file0.h >/dev/null'],
  ['2,000 files found by name', 'find /src -name x'],
  ['2,000 files: stat of each', 'find /src -size +100M'],
  ['2,000 files: each read', 'cat /src/*/*.h >/dev/null'],
  ['node: 200 modules of 2,000', 'node /src/main.cjs'],
  ['cc, two at once: 40 C files, 400 headers', 'cd /tmp && ls /src/c/*.c | xargs -P2 -n1 cc -c'],
];

try {
  makeLayer();
  for (const [title, command] of COMMANDS) {
    const rivals: Rival[] = ['mounted', 'traced'].map((name) => ({ name, command: run(name === 'traced', command) }));
    const timings = compare(rivals, runs);
    const [mounted, traced] = rivals.map(({ name }) => median(timings.get(name)?.cpuMs ?? [])) as [number, number];
    show(title, timings, [`CPU traced beside mounted: ${(traced / mounted).toFixed(2)}`]);
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

function makeLayer(): void {
  const src = path.join(scratch, 'tree/src');
  for (let dir = 0; dir < 20; dir++) {
    mkdirSync(path.join(src, `dir${dir}`), { recursive: true });
    for (let file = 0; file < 100; file++) {
      const name = path.join(src, `dir${dir}/file${file}`);
      writeFileSync(`${name}.h`, `static inline int f${dir}_${file}(int x) { return x + ${file}; }\n${'// words\n'.repeat(200)}`);
      if (file < 10) writeFileSync(`${name}.cjs`, `module.exports = ${file};\n${'// words\n'.repeat(200)}`);
    }
  }
  const modules = Array.from({ length: 200 }, (_, n) => `require('./dir${n % 20}/file${Math.floor(n / 20)}.cjs');\n`);
  writeFileSync(path.join(src, 'main.cjs'), modules.join(''));
  makeProgram(path.join(src, 'c'));
  for (const place of ['usr', 'lib', 'lib64', 'bin', 'etc', 'node', 'tmp', 'dev', 'proc'])
    mkdirSync(path.join(scratch, 'base', place), { recursive: true });
  mkdirSync(path.join(scratch, 'scratch'));
  pack('base', path.join(scratch, 'base'));
  pack('layer', path.join(scratch, 'tree'));
}

/** Forty files, each with ten headers of its own. */
function makeProgram(directory: string): void {
  mkdirSync(directory, { recursive: true });
  const names = Array.from({ length: 40 }, (_, n) => `part${n}`);
  for (const [n, name] of names.entries()) {
    const includes = Array.from({ length: 10 }, (_, file) => `#include "/src/dir${n % 20}/file${file + (n < 20 ? 0 : 50)}.h"\n`);
    writeFileSync(
      path.join(directory, `${name}.c`),
      `#include <stdio.h>\n${includes.join('')}int ${name}(void) { return ${n}; }\n`,
    );
  }
}

function pack(name: string, dir: string): void {
  const request = { id: 1, op: 'packDir', driver: 'erofs', out: path.join(scratch, name), dir, overlay: false };
  const { stdout } = spawnSync(runner, ['serve'], { input: `${JSON.stringify(request)}\n`, encoding: 'utf8' });
  if (!stdout.includes('"ok"')) throw new Error(`cannot pack ${dir}: ${stdout}`);
}

function run(isTraced: boolean, command: string): string {
  const image = (name: string) => ({ erofs: path.join(scratch, `${name}.erofs`) });
  const traced = { traced: [{ index: path.join(scratch, 'layer.index'), ...image('layer') }] };
  const bound = [
    ...['usr', 'lib', 'lib64', 'bin', 'etc'].map((name) => [`/${name}`, `/${name}`]),
    [path.dirname(process.execPath), '/node'],
  ];
  const spec = {
    scratch: path.join(scratch, 'scratch'),
    layers: [image('base'), isTraced ? traced : image('layer')],
    upper: { tmpfs: 1 << 28 },
    config: {
      ociVersion: '1.0.2',
      process: { user: { uid: 0, gid: 0 }, args: ['sh', '-c', command], env: ['PATH=/node:/usr/bin:/bin'], cwd: '/' },
      root: { path: 'rootfs' },
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc' },
        { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['mode=755'] },
        ...bound.map(([source, destination]) => ({ destination, type: 'bind', source, options: ['rbind', 'ro'] })),
      ],
      linux: { namespaces: [{ type: 'pid' }, { type: 'mount' }] },
    },
    commit: null,
  };
  const file = path.join(scratch, `spec-${isTraced}-${command.replaceAll(/\W+/g, '-').slice(0, 40)}.json`);
  writeFileSync(file, JSON.stringify(spec));
  return `${runner} with-root ${file} -- self run bench`;
}
