// `npm run bench`: the speeds that tbuild promises, each beside a peer or a limit in the same run. Says figures, judges nothing.
// Takes a few minutes. Everything it makes is in one folder, removed at the end. Peers that are not installed are left out.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { loadBaseImages, makeBaseImages } from '../setup/base-images.ts';
import { compileIgnore } from '../src/context/ignore.ts';
import { compare, has, median, peer, type Rival, sh, show } from './measure.ts';

const repository = path.join(import.meta.dirname, '..');
const tbuild = path.join(repository, 'bin/tbuild');
const node = process.execPath;
mkdirSync(path.join(repository, '.tbuild'), { recursive: true });
const scratch = mkdtempSync(path.join(repository, '.tbuild/bench-'));
const store = path.join(scratch, 'store');
const env = { ...process.env, TBUILD_ROOT: store };
/** Peers keep their images here, on the same disk. */
const containers = `--root ${scratch}/containers --runroot ${scratch}/containers-run`;
const runs = Number(process.env.BENCH_RUNS ?? 7);

try {
  console.log(
    `${cpus().length} × ${cpus()[0]?.model}, ${sh('uname -r').trim()}, node ${process.version}; medians of ${runs} (least–most)`,
  );
  const images = await makeBaseImages(() => {});
  loadBaseImages(images, env, () => {});
  importForPeers();
  cachedBuild();
  trivialRuns();
  coldCopy();
  exportedFiles();
  containerStart();
  execFileSync(node, [path.join(import.meta.dirname, 'runtimes.ts')], { stdio: 'inherit', env });
  readLargeFile();
  matchPaths();
} finally {
  sh(`${has('buildah') ? `buildah ${containers} rm -a || true; ` : ''}true`);
  rmSync(scratch, { recursive: true, force: true });
}

/** The peers get tbuild's own base, so that all start from the same files. */
function importForPeers(): void {
  sh(`${tbuild} save --format docker -o ${scratch}/busybox.tar busybox`, env);
  if (has('buildah')) sh(`buildah ${containers} pull docker-archive:${scratch}/busybox.tar`);
}

function makeFiles(folder: string, count: number, bytes: number): void {
  for (let i = 0; i < count; i++) {
    const directory = path.join(folder, `d${i % 100}`);
    if (i < 100) mkdirSync(directory, { recursive: true });
    writeFileSync(path.join(directory, `file-${i}.txt`), Buffer.alloc(1 + ((i * 7919) % (2 * bytes)), `${i} `));
  }
}

function cachedBuild(): void {
  const context = path.join(scratch, 'thousand');
  makeFiles(context, 1000, 4000);
  writeFileSync(path.join(context, 'Dockerfile'), 'FROM busybox\nWORKDIR /app\nCOPY d1 d1\nRUN true\nCOPY . .\nRUN true\n');
  const rivals: Rival[] = [
    { name: 'node -e 0', command: `${node} -e 0` },
    { name: 'tbuild -t app . (all cached)', command: `${tbuild} -t app ${context}` },
  ];
  rivals.push(
    ...peer(
      {
        name: 'buildah bud --layers (all cached)',
        command: `buildah ${containers} bud --isolation chroot --layers -t app ${context}`,
      },
      env,
    ),
  );
  const timings = compare(rivals, runs, env);
  const over = median(timings.get('tbuild -t app . (all cached)')?.cpuMs ?? []) - median(timings.get('node -e 0')?.cpuMs ?? []);
  show('A fully cached build of a 1,000-file context', timings, [
    `${over.toFixed(0)} ms of CPU over bare node (aim: at most 60)`,
  ]);
}

function trivialRuns(): void {
  const context = path.join(scratch, 'runs');
  mkdirSync(context);
  const dockerfile = (count: number) =>
    `FROM busybox\n${Array.from({ length: count }, (_, i) => `RUN echo ${i} > /f${i}\n`).join('')}`;
  writeFileSync(path.join(context, 'Dockerfile.20'), dockerfile(20));
  writeFileSync(path.join(context, 'Dockerfile.1'), dockerfile(1));
  const build = (count: number) => `${tbuild} --no-cache -f ${context}/Dockerfile.${count} ${context}`;
  const rivals: Rival[] = [
    {
      name: 'sh -c "echo", 20 times',
      command: `for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do /bin/busybox sh -c "echo $i > ${scratch}/f$i"; done`,
    },
    { name: 'tbuild, 1 RUN', command: build(1) },
    { name: 'tbuild, 20 RUNs', command: build(20) },
  ];
  rivals.push(
    ...peer(
      {
        name: 'buildah bud --layers, 20 RUNs',
        command: `buildah ${containers} bud --isolation chroot --layers --no-cache -f ${context}/Dockerfile.20 ${context}`,
      },
      env,
    ),
  );
  const timings = compare(rivals, Math.min(runs, 5), env);
  const wall = (name: string) => median(timings.get(name)?.wallMs ?? []);
  const each = (wall('tbuild, 20 RUNs') - wall('tbuild, 1 RUN')) / 19;
  const bare = wall('sh -c "echo", 20 times') / 20;
  show('Trivial RUNs, one after the other', timings, [
    `${each.toFixed(1)} ms a RUN, ${(each - bare).toFixed(1)} ms over the bare command (aim: at most 15)`,
    `20 of them: ${wall('tbuild, 20 RUNs').toFixed(0)} ms (aim: under 1000)`,
  ]);
}

function coldCopy(): void {
  const context = path.join(scratch, 'many');
  makeFiles(path.join(context, 'tree'), 20_000, 5400);
  writeFileSync(path.join(context, 'Dockerfile'), 'FROM scratch\nCOPY tree /tree\n');
  const tree = path.join(context, 'tree');
  const rivals: Rival[] = [
    { name: 'tar | sha256sum', command: `tar cf - -C ${tree} . | sha256sum` },
    {
      name: 'sequential write of the same bytes, synced',
      command: `dd if=${scratch}/bytes of=${scratch}/sequential bs=1M conv=fdatasync`,
      before: () => sh(`tar cf ${scratch}/bytes -C ${tree} .`),
    },
    {
      name: 'tbuild: COPY into an empty store',
      command: `TBUILD_ROOT=${scratch}/cold ${tbuild} ${context}`,
      before: () => rmSync(`${scratch}/cold`, { recursive: true, force: true }),
    },
    {
      name: 'cp -a',
      command: `cp -a ${tree} ${scratch}/copied`,
      before: () => rmSync(`${scratch}/copied`, { recursive: true, force: true }),
    },
  ];
  rivals.push(...peer({ name: 'buildah bud', command: `buildah ${containers} bud --no-cache ${context}` }, env));
  const timings = compare(rivals, Math.min(runs, 5), env);
  const wall = (name: string) => median(timings.get(name)?.wallMs ?? []);
  const floor = wall('tar | sha256sum') + wall('sequential write of the same bytes, synced');
  const ratio = wall('tbuild: COPY into an empty store') / floor;
  show('COPY of 20,000 small files, cold', timings, [
    `${ratio.toFixed(2)} times tar | sha256sum plus one sequential write (aim: at most 1.5)`,
  ]);
}

/** The tree of `coldCopy`, from a build whose steps are all cached: what is measured is the writing. */
function exportedFiles(): void {
  const context = path.join(scratch, 'many');
  const tree = path.join(context, 'tree');
  sh(`${tbuild} -q ${context}`, env);
  const out = path.join(scratch, 'exported');
  const before = () => rmSync(out, { recursive: true, force: true });
  const rivals: Rival[] = [
    { name: 'cp -a', command: `cp -a ${tree} ${out}`, before },
    { name: 'tbuild -o DIR', command: `${tbuild} -o ${out} ${context}`, before },
    { name: 'tar cf', command: `tar cf ${out} -C ${tree} .`, before },
    { name: 'tbuild -o type=tar', command: `${tbuild} -o type=tar,dest=${out} ${context}`, before },
    { name: 'tbuild, nothing to write', command: `${tbuild} -q ${context}` },
  ];
  show('20,000 small files of a built image, written out', compare(rivals, Math.min(runs, 5), env), []);
}

function containerStart(): void {
  const rivals: Rival[] = [
    { name: 'node -e 0', command: `${node} -e 0` },
    { name: 'tbuild run --rm busybox true', command: `${tbuild} run --rm busybox true` },
  ];
  rivals.push(
    ...peer(
      {
        name: 'podman run --rm busybox true',
        command: `podman ${containers} run --rm --network host --cgroups disabled busybox true`,
      },
      env,
    ),
  );
  const timings = compare(rivals, runs * 2, env);
  const over = median(timings.get('tbuild run --rm busybox true')?.wallMs ?? []) - median(timings.get('node -e 0')?.wallMs ?? []);
  show('A container of a stored image', timings, [`${over.toFixed(0)} ms over bare node (aim: at most 60)`]);
}

/** A Dockerfile of what real ones are made of, over and over, in stages of 200 lines. */
function readLargeFile(): void {
  const stage = (index: number) => [
    `FROM busybox AS stage${index}`,
    ...Array.from({ length: 19 }, (_, i) => [
      `# what follows is step ${i}`,
      `ARG VERSION${i}=1.${i}`,
      `ENV NAME${i}="of \${VERSION${i}}" OTHER=\${NAME${i}:-none}`,
      'RUN --mount=type=cache,target=/var/cache \\',
      '    apt-get update && \\',
      '    apt-get install -y package',
      `COPY --chown=1000:1000 src/${i} lib/* /app/`,
      'RUN <<EOF',
      `echo $NAME${i}`,
      'EOF',
    ]).flat(),
    ...Array.from({ length: 9 }, () => 'WORKDIR /app'),
  ];
  const lines = Array.from({ length: 100 }, (_, i) => stage(i)).flat();
  const file = path.join(scratch, 'Dockerfile.large');
  writeFileSync(file, `${lines.join('\n')}\n`);
  const check = `${tbuild} build --check -f ${file} ${scratch}`;
  const rivals: Rival[] = [
    { name: 'node -e 0', command: `${node} -e 0` },
    { name: 'tbuild build --check: parse and plan', command: `${check} || [ $? -lt 3 ]` },
    { name: 'tbuild parse --json', command: `${tbuild} parse --json ${file}` },
  ];
  const timings = compare(rivals, Math.min(runs, 5), env);
  const over =
    median(timings.get('tbuild build --check: parse and plan')?.wallMs ?? []) - median(timings.get('node -e 0')?.wallMs ?? []);
  show(`A Dockerfile of ${lines.length} lines`, timings, [`${over.toFixed(0)} ms over bare node (aim: under 1000)`]);
}

function matchPaths(): void {
  const patterns = [
    'node_modules',
    '**/*.log',
    'dist',
    '.git',
    '**/.DS_Store',
    '*.md',
    '!README.md',
    'src/**/test',
    'docs/*/draft-??.txt',
    '**/tmp*',
  ];
  const paths = Array.from({ length: 20_000 }, (_, i) => `src/d${i % 100}/sub${i % 7}/file-${i}.ts`);
  const repo = path.join(scratch, 'ignored');
  mkdirSync(repo);
  writeFileSync(path.join(repo, '.gitignore'), patterns.join('\n'));
  writeFileSync(path.join(scratch, 'paths'), paths.join('\n'));
  const hasGit = has('git');
  if (hasGit) sh(`git init -q ${repo}`);
  const ours = 'tbuild: ten patterns, 20,000 paths';
  const gits = 'git check-ignore --stdin';
  const times: Record<string, number[]> = { [ours]: [], ...(hasGit ? { [gits]: [] } : {}) };
  const time = (name: string, match: () => void) => {
    const began = performance.now();
    match();
    times[name]!.push(performance.now() - began);
  };
  for (let run = 0; run < runs; run++) {
    time(ours, () => {
      const rules = compileIgnore(patterns.join('\n'), '.dockerignore');
      for (const name of paths) rules.excludes(name, rules.root);
    });
    if (hasGit) time(gits, () => sh(`git -C ${repo} check-ignore --no-index --stdin < ${scratch}/paths || true`));
  }
  const timings = new Map(Object.entries(times).map(([name, wallMs]) => [name, { wallMs, cpuMs: wallMs }]));
  show('20,000 paths against .dockerignore', timings, [`${median(times[ours]!).toFixed(0)} ms (aim: under 50)`]);
}
