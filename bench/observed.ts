// `npm run bench:observed`: what it costs that a RUN is watched, beside --trace=off, as the table of docs/cache.md. Each time one RUN of a build is executed, all
// below it is cached; what is measured is the whole `tbuild build`, with the file observer and the command, in pairs. Needs the npm registry and the Debian
// mirror of this machine's settings for what the commands need; they themselves do without a network, but for npm ci. Takes some eight minutes.

import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import path from 'node:path';
import { loadBaseImages, makeBaseImages } from '../setup/base-images.ts';
import { median, sh, timeOnce } from './measure.ts';
import { NPM_MOUNTS, npmSecrets } from './npm.ts';

const repository = path.join(import.meta.dirname, '..');
const tbuild = path.join(repository, 'bin/tbuild');
mkdirSync(path.join(repository, '.tbuild'), { recursive: true });
const scratch = mkdtempSync(path.join(repository, '.tbuild/observed-'));
const env = { ...process.env, TBUILD_ROOT: path.join(scratch, 'store') };
const runs = Number(process.env.BENCH_RUNS ?? 7);
const FILES = 2_000;

interface Command {
  readonly title: string;
  /** Of RUN. */
  readonly words: string;
  readonly fill: (context: string) => void;
  /** Of what was copied, 2,000 files where nothing else is said. */
  readonly looksAt: string;
}

const web = (context: string): void => {
  cpSync(path.join(repository, 'fixtures/web'), context, { recursive: true });
  for (let page = 0; page < FILES; page++) writeFileSync(path.join(context, `pages/page-${page}.md`), text(page));
};
const sources = (context: string): void => {
  cpSync(path.join(repository, 'src'), path.join(context, 'src'), { recursive: true });
  for (const name of ['package.json', 'tsconfig.json']) cpSync(path.join(repository, name), path.join(context, name));
};

const COMMANDS: readonly Command[] = [
  { title: '`npm ci`', words: `${NPM_MOUNTS} npm ci --prefer-offline`, fill: web, looksAt: '2 files' },
  {
    title: '`apt-get install` of git and what it needs',
    words: 'apt-get install -y --no-install-recommends git',
    fill: web,
    looksAt: 'nothing',
  },
  {
    title: '`make -j2`, 40 C files and 400 headers',
    words: 'make -s -j2',
    fill: makeProgram,
    looksAt: 'the contents of all 440',
  },
  {
    title: '`tsc`, the sources of tbuild',
    words: 'ln -s /opt/node_modules && node_modules/.bin/tsc -p .',
    fill: sources,
    looksAt: 'the contents of all 460',
  },
  { title: '`find /`', words: 'find / -xdev >/dev/null', fill: web, looksAt: 'the names of 2,000 files' },
  { title: '`find / -size +1M`', words: 'find / -xdev -size +1M >/dev/null', fill: web, looksAt: 'stat of 2,000 files' },
  { title: '`cat` of each file', words: 'cat pages/* >/dev/null', fill: web, looksAt: 'the contents of 2,000 files' },
];

try {
  await prepareBase();
  const secrets = npmSecrets(scratch);
  const wanted = COMMANDS.filter(({ title }) => title.includes(process.env.BENCH_ONLY ?? ''));
  const model = cpus()[0]?.model.trim();
  const load = () => (loadavg()[0] as number).toFixed(1);
  const before = load();
  console.log('| a RUN of | looks at of what was copied | CPU s, unwatched | watched | | wall s, unwatched | watched | |');
  console.log('| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |');
  for (const [place, command] of wanted.entries()) console.log(measure(command, path.join(scratch, `context-${place}`), secrets));
  console.log(`\nLinux ${release()}, ${cpus().length} × ${model}, load ${before} to ${load()}; medians of ${runs}, in turns`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

/** All that the commands need, as an image: what is in it counts as a whole, and is not watched. */
async function prepareBase(): Promise<void> {
  loadBaseImages(await makeBaseImages(() => {}), env, () => {});
  const folder = path.join(scratch, 'base');
  mkdirSync(folder);
  for (const name of [
    'typescript',
    '@typescript',
    '@types',
    'dockerfile-ast',
    'minimatch',
    'p-limit',
    'smol-toml',
    'streamx',
    'tar-stream',
  ])
    copyPackage(name, folder);
  for (const name of ['undici', 'undici-types', 'vscode-languageserver-textdocument', 'vscode-languageserver-types', 'yaml'])
    copyPackage(name, folder);
  const install = 'apt-get install -y --no-install-recommends';
  const dockerfile = `FROM debian:12
RUN apt-get update && ${install} nodejs npm ca-certificates gcc libc6-dev make && ${install} --download-only git
COPY node_modules /opt/node_modules
RUN mkdir -p /opt/node_modules/.bin && ln -s ../@typescript/typescript-linux-x64/lib/tsc /opt/node_modules/.bin/tsc
`;
  writeFileSync(path.join(folder, 'Dockerfile'), dockerfile);
  sh(`${tbuild} -t bench-tools ${folder}`, env);
}

function copyPackage(name: string, folder: string): void {
  const from = path.join(repository, 'node_modules', name);
  cpSync(from, path.join(folder, 'node_modules', name), { recursive: true, verbatimSymlinks: true });
}

/** A line of the table. */
function measure({ title, words, fill, looksAt }: Command, context: string, secrets: string): string {
  mkdirSync(context);
  fill(context);
  writeFileSync(
    path.join(context, 'Dockerfile'),
    `FROM bench-tools AS copied\nWORKDIR /app\nCOPY . .\nFROM copied AS run\nRUN ${words}\n`,
  );
  const sides = ['off', 'on'].map((trace) => ({ trace, wall: [] as number[], cpu: [] as number[] }));
  for (let run = -1; run < runs; run++) {
    for (const { trace, wall, cpu } of sides) {
      const command = `${tbuild} -q --trace=${trace} --no-cache-filter run ${secrets} ${context}`;
      const timed = timeOnce({ name: title, command }, env);
      if (run < 0) continue;
      wall.push(timed.wall / 1000);
      cpu.push(timed.cpu / 1000);
    }
  }
  const [off, on] = sides as [(typeof sides)[number], (typeof sides)[number]];
  return `| ${title} | ${looksAt} | ${compared(off.cpu, on.cpu)} | ${compared(off.wall, on.wall)} |`;
}

/** The median of pairs says more than that of each side: a machine's speed drifts. */
function compared(off: readonly number[], on: readonly number[]): string {
  const more = median(on.map((value, run) => value / (off[run] as number))) - 1;
  return `${median(off).toFixed(2)} | ${median(on).toFixed(2)} | ${more < 0 ? '−' : '+'}${Math.abs(more * 100).toFixed(0)} %`;
}

function text(page: number): string {
  return `# Page ${page}\n\n${`Line ${page} of *many*.\n`.repeat(40)}`;
}

/** Files of functions, each with ten headers of its own. */
function makeProgram(context: string): void {
  mkdirSync(path.join(context, 'include'));
  for (let n = 0; n < 400; n++) writeFileSync(path.join(context, `include/part${n}.h`), header(n));
  const names = Array.from({ length: 40 }, (_, n) => `file${n}`);
  for (const [n, name] of names.entries()) {
    const own = Array.from({ length: 10 }, (_, place) => (n * 7 + place * 37) % 400);
    const includes = own.map((part) => `#include "include/part${part}.h"\n`);
    const calls = own.map((part) => `  for (int i = 0; i < x; i++) sum += part${part}(i) * strlen(s);\n`);
    const body = Array.from(
      { length: 20 },
      (_, f) =>
        `int ${name}_${f}(int x, const char *s) {\n  int sum = ${f};\n${calls.join('')}  return printf("%d\\n", sum);\n}\n`,
    );
    writeFileSync(
      path.join(context, `${name}.c`),
      `#include <stdio.h>\n#include <string.h>\n${includes.join('')}${body.join('')}`,
    );
  }
  writeFileSync(path.join(context, 'Makefile'), `CFLAGS = -O2\nall: ${names.map((name) => `${name}.o`).join(' ')}\n`);
}

function header(n: number): string {
  return `#pragma once\nstatic inline int part${n}(int x) { return x % ${n + 3} + ${n}; }\n${'/* what it is for */\n'.repeat(40)}`;
}
