// Builds of public projects, compared with the images that BuildKit makes of them: config and merged file system, path by path. What is
// exported must also be valid by the OCI schemas. The comparison, too, stands beside the checkout, and runs in a copy.

import { execFile, execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { makeBaseImages } from '../../setup/base-images.ts';
import { type Deviation, referenceUrl, type Suite } from './suite.ts';

/** A case and its status: `same`, `both-fail` (BuildKit fails there, too), `diff`, `rc-diff`, `skip`. */
interface BuildOutcome {
  readonly case: string;
  readonly status: string;
  readonly diffs?: readonly string[];
  readonly b_log?: string;
}

/** Of the 90 BuildKit refuses two; agreeing is to refuse them too. */
export const builds: Suite = {
  name: 'builds',
  file: 'builds/expected.json',
  total: 90,
  compare: async () => {
    const place = mkdtempSync(path.join(tmpdir(), 'tbuild-conformance-'));
    try {
      const outcomes = await compareAll(place);
      const others = outcomes.filter(({ status }) => status !== 'same' && status !== 'both-fail');
      return { rows: outcomes.length, deviations: others.map(describeOutcome) };
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
  },
};

async function compareAll(place: string): Promise<BuildOutcome[]> {
  cpSync(referenceUrl('.'), place, { recursive: true, mode: 0 });
  execFileSync('chmod', ['-R', 'u+w', place]);
  execFileSync('tar', ['-xzf', 'builds/contexts.tgz'], { cwd: place });
  execFileSync('python3', ['make_bases.py'], { cwd: place, stdio: 'ignore' });
  await addDebian(path.join(place, 'bases'));

  const tbuild = path.join(import.meta.dirname, '../../bin/tbuild');
  const build = `${tbuild} build --no-cache -t {tag} -f {dockerfile} {buildargs} {target} -o type=oci,tar=false,dest={oci} {context}`;
  const seed = `${tbuild} load --oci-layout {layout} -t {name}`;
  const command = [
    ...['builddiff.py', '--expected', 'builds/expected.json', '--out', 'outcomes.json'],
    ...['--seed-b', seed, '--b', `${build}${validation(place)}`],
  ];
  const env = { ...process.env, TBUILD_ROOT: path.join(place, 'store') };
  await new Promise<void>((resolve, reject) => {
    execFile('python3', command, { cwd: place, env }, (error) => (error ? reject(error) : resolve()));
  });
  return JSON.parse(readFileSync(path.join(place, 'outcomes.json'), 'utf8'));
}

/** The cases take any Debian: expected are the changes to it. */
async function addDebian(bases: string): Promise<void> {
  const images = await makeBaseImages((line) => console.log(line));
  const { layout } = images.find(({ names }) => names.includes('debian:12'))!;
  cpSync(layout, path.join(bases, 'debian'), { recursive: true });
  const index = JSON.parse(readFileSync(path.join(layout, 'index.json'), 'utf8'));
  writeFileSync(path.join(bases, 'debian.digest'), index.manifests[0].digest);
}

function validation(place: string): string {
  try {
    execFileSync('python3', ['-c', 'import jsonschema'], { stdio: 'ignore' });
  } catch {
    console.warn('not validated by schemas: python3 has no jsonschema here (python3-jsonschema)');
    return '';
  }
  return ` && python3 ${path.join(place, 'validate_image.py')} {oci}`;
}

function describeOutcome({ case: name, status, diffs = [], b_log = '' }: BuildOutcome): Deviation {
  return { case: name, difference: [status, ...diffs.slice(0, 5), b_log.slice(-300)].join('\n') };
}
