// Builds of public projects, compared with the images that BuildKit makes of them: config and merged file system, path by path. What is
// exported must also be valid by the OCI schemas. The cases, their answers and the comparison stand beside the checkout and run in a copy.

import { execFile, execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { makeBaseImages } from '../../setup/base-images.ts';
import { emptyStore } from '../support/stores.ts';
import { repository } from '../support/tbuild.ts';
import { describeReference, referenceUrl } from './reference.ts';

/** A case and its status: `same`, `both-fail` (BuildKit fails there, too), `diff`, `rc-diff`, `skip`. */
interface Outcome {
  readonly case: string;
  readonly status: string;
  readonly diffs?: readonly string[];
  readonly b_log?: string;
}

const places: string[] = [];
afterAll(() => {
  for (const place of places) rmSync(place, { recursive: true, force: true });
});

describeReference('builds make what BuildKit makes', 'builds/expected.json', () => {
  it('in every case', async () => {
    const outcomes = await compareAll();
    const others = outcomes.filter(({ status }) => status !== 'same' && status !== 'both-fail');
    expect(others.map(describeOutcome)).toEqual([]);
    expect(outcomes.filter(({ status }) => status === 'same')).toHaveLength(88);
  }, 1_200_000);
});

async function compareAll(): Promise<Outcome[]> {
  const place = mkdtempSync(path.join(tmpdir(), 'tbuild-conformance-'));
  places.push(place);
  cpSync(referenceUrl('.'), place, { recursive: true, mode: 0 });
  execFileSync('chmod', ['-R', 'u+w', place]);
  execFileSync('tar', ['-xzf', 'builds/contexts.tgz'], { cwd: place });
  execFileSync('python3', ['make_bases.py'], { cwd: place });
  await addDebian(path.join(place, 'bases'));

  const tbuild = path.join(repository, 'bin/tbuild');
  const build = `${tbuild} build --no-cache -t {tag} -f {dockerfile} {buildargs} {target} -o type=oci,tar=false,dest={oci} {context}`;
  const seed = `${tbuild} load --oci-layout {layout} -t {name}`;
  const options = [
    '--expected',
    'builds/expected.json',
    '--out',
    'outcomes.json',
    '--seed-b',
    seed,
    '--b',
    `${build}${validation(place)}`,
  ];
  const env = { ...process.env, TBUILD_ROOT: emptyStore() };
  await new Promise<void>((resolve, reject) => {
    execFile('python3', ['builddiff.py', ...options], { cwd: place, env }, (error) => (error ? reject(error) : resolve()));
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

function describeOutcome({ case: name, status, diffs = [], b_log = '' }: Outcome): string {
  return [`${status} ${name}`, ...diffs.slice(0, 5), b_log.slice(-300)].join('\n');
}
