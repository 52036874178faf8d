// `npm run bench:edits`: what a rebuild costs after an edit, on the Node fixture with 2,000 pages and a Dockerfile that copies everything first, as
// people are told not to. Beside buildah on the same base. Needs the npm registry of this machine's settings. Takes some ten minutes.

import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { loadBaseImages, makeBaseImages } from '../setup/base-images.ts';
import type { BuildEvent } from '../src/build/events.ts';
import { has, median, sh, show, type Timing, timeOnce } from './measure.ts';
import { NPM_MOUNTS, npmSecrets } from './npm.ts';

const repository = path.join(import.meta.dirname, '..');
const tbuild = path.join(repository, 'bin/tbuild');
mkdirSync(path.join(repository, '.tbuild'), { recursive: true });
const scratch = mkdtempSync(path.join(repository, '.tbuild/edits-'));
const env = { ...process.env, TBUILD_ROOT: path.join(scratch, 'store') };
const containers = `--root ${scratch}/containers --runroot ${scratch}/containers-run`;
const context = path.join(scratch, 'web');
const PAGES = 2_000;
const rounds = Number(process.env.BENCH_RUNS ?? 3);

const BASE = `FROM debian:12
RUN apt-get update && apt-get install -y --no-install-recommends nodejs npm ca-certificates && rm -rf /var/lib/apt/lists/*
`;
const DOCKERFILE = `FROM bench-node
WORKDIR /app
COPY . .
RUN ${NPM_MOUNTS} npm ci
RUN npm run build
`;

/** Edits of a kind differ from round to round. `runs`: the steps that have to be executed for it. */
const edits: readonly { readonly name: string; readonly runs: readonly string[]; readonly make: (round: number) => void }[] = [
  { name: 'nothing', runs: [], make: () => {} },
  { name: 'every file touched', runs: [], make: touchAll },
  { name: 'README.md edited', runs: ['COPY'], make: (round) => append('README.md', `${round}\n`) },
  { name: 'a page edited', runs: ['COPY', 'npm run build'], make: (round) => append('pages/page-7.md', `${round}\n`) },
  {
    name: 'a page added',
    runs: ['COPY', 'npm run build'],
    make: (round) => writeFileSync(path.join(context, `pages/new-${round}.md`), '# new\n'),
  },
  {
    name: 'package.json edited',
    runs: ['COPY', 'npm ci', 'npm run build'],
    make: (round) => {
      const file = path.join(context, 'package.json');
      writeFileSync(file, readFileSync(file, 'utf8').replace(/"version": "[^"]*"/, `"version": "1.0.${round + 1}"`));
    },
  },
];

try {
  makeContext();
  const secrets = npmSecrets(scratch);
  const ours = `${tbuild} -t app ${secrets} ${context}`;
  await prepareBase();
  const theirs = preparePeer(secrets);
  // Once, for both to have everything.
  sh(ours, env);
  if (theirs) sh(theirs, env);
  for (const edit of edits) measure(edit, ours, theirs);
} finally {
  if (has('buildah')) sh(`buildah ${containers} rm -a || true`);
  rmSync(scratch, { recursive: true, force: true });
}

function makeContext(): void {
  cpSync(path.join(repository, 'fixtures/web'), context, { recursive: true });
  writeFileSync(path.join(context, 'Dockerfile'), DOCKERFILE);
  writeFileSync(path.join(context, 'README.md'), '# web\n');
  for (let page = 0; page < PAGES; page++) {
    writeFileSync(path.join(context, `pages/page-${page}.md`), `# Page ${page}\n\n${`Line ${page} of *many*.\n`.repeat(40)}`);
  }
}

/** Built once by tbuild, and given to the peer, so that both start from the same files. */
async function prepareBase(): Promise<void> {
  loadBaseImages(await makeBaseImages(() => {}), env, () => {});
  const folder = path.join(scratch, 'base');
  mkdirSync(folder);
  writeFileSync(path.join(folder, 'Dockerfile'), BASE);
  sh(`${tbuild} -t bench-node ${folder}`, env);
}

function preparePeer(secrets: string): string | undefined {
  if (!has('buildah')) {
    console.log('buildah is left out: it is not installed');
    return undefined;
  }
  sh(`${tbuild} save --format docker -o ${scratch}/base.tar bench-node`, env);
  sh(`buildah ${containers} pull docker-archive:${scratch}/base.tar`);
  return `buildah ${containers} bud --isolation chroot --layers -t app ${secrets} ${context}`;
}

function measure({ name, runs, make }: (typeof edits)[number], ours: string, theirs: string | undefined): void {
  const timings = new Map<string, { wallMs: number[]; cpuMs: number[] }>();
  const time = (rival: string, command: string) => {
    const { wall, cpu } = timeOnce({ name: rival, command }, env);
    const timing = timings.get(rival) ?? { wallMs: [], cpuMs: [] };
    timings.set(rival, { wallMs: [...timing.wallMs, wall], cpuMs: [...timing.cpuMs, cpu] });
  };
  const executed = new Set<string>();
  for (let round = 0; round < rounds; round++) {
    make(round);
    const log = path.join(scratch, 'events');
    time('tbuild', `${ours} --progress rawjson 2>${log}`);
    for (const step of executedIn(log)) executed.add(step);
    if (theirs) time('buildah bud --layers', theirs);
  }
  const expected = runs.join(', ') || 'nothing';
  const found = [...executed].join(', ') || 'nothing';
  const wall = (rival: string) => median((timings.get(rival) as Timing).wallMs);
  const ratio = theirs ? `; ${(wall('tbuild') / wall('buildah bud --layers')).toFixed(3)} of buildah's time` : '';
  show(name, timings, [`executed: ${found} (has to be: ${expected})${ratio}`]);
}

/** The steps that were executed, each by what it is about. */
function executedIn(log: string): string[] {
  const events = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as BuildEvent);
  const plan = events.find((event) => event.type === 'plan');
  const done = events.flatMap((event) =>
    event.type === 'done' && !event.cached && event.layer !== undefined ? [event.step] : [],
  );
  const names = done.map((step) => plan?.steps[step - 1]?.name ?? '');
  return names.map((name) => ['npm ci', 'npm run build', 'COPY'].find((word) => name.includes(word)) ?? name);
}

function touchAll(): void {
  const now = new Date();
  for (const name of readdirSync(context, { recursive: true, encoding: 'utf8' })) utimesSync(path.join(context, name), now, now);
}

function append(name: string, text: string): void {
  appendFileSync(path.join(context, name), text);
}
