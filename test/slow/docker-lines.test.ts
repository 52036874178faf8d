// What people write for docker does here what it does with podman: the exit code, what is printed, and what is left behind, which is asked for by more lines.

import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Engines, type Said } from '../support/engines.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';
import { groups, type Line } from './docker-lines.ts';

let store: string;
let engines: Engines;
beforeAll(async () => {
  store = freshStore();
  engines = new Engines();
  const archive = path.join(tmpdir(), `tbuild-lines-${process.pid}.tar`);
  await tbuildOk(['save', '-o', archive, 'busybox'], { store });
  for (const name of await engines.run('podman', ['images', '-q']).then(({ stdout }) => stdout.split('\n').filter(Boolean)))
    await engines.run('podman', ['rmi', '-f', name]);
  expect(await engines.run('podman', ['load', '-i', archive])).toMatchObject({ code: 0 });
  rmSync(archive);
  await tbuild(['rmi', 'debian:12', 'debian:bookworm-slim'], { store });
});
afterAll(() => engines?.close());

describe.for(Object.entries(groups))('%s', ([, lines]) => {
  test(`${lines.length} lines`, { timeout: 400_000 }, async () => {
    // One after the other, for they share the ports of the machine.
    const ours: Said[] = [];
    for (const { line } of lines) ours.push(await tbuild(wordsOf(line), { store }));
    const theirs: Said[] = [];
    for (const { line } of lines) theirs.push(await engines.run('podman', wordsOf(line)));
    expect(lines.flatMap((line, at) => compare(line, ours[at] as Said, theirs[at] as Said) ?? [])).toEqual([]);
  });
});

function compare({ line, differs, isOwn }: Line, ours: Said, theirs: Said): object | undefined {
  const seen = { code: codeOf(line, ours), stdout: isOwn ? '' : normalized(ours.stdout) };
  const expected = { code: codeOf(line, theirs), stdout: isOwn ? '' : normalized(theirs.stdout) };
  const wanted = differs ? { ...expected, ...differs } : expected;
  const isSaid = (ours.stderr === '') === (theirs.stderr.replace(NO_SYSLOG, '') === '') || differs !== undefined;
  const isSame = seen.code === wanted.code && seen.stdout === wanted.stdout && isSaid;
  return isSame ? undefined : { line, ours: { ...ours, ...seen }, theirs: { ...theirs, ...expected } };
}

/** Where it is not a command's own, docker's status of what is refused is 1, podman's 125 and others, ours that of the kind of error. */
function codeOf(line: string, { code }: Said): number | null {
  return code === 0 || /^(?:run|create|exec|start -a) /.test(line) ? code : REFUSED;
}

const REFUSED = 1;
/** Of its name server's. */
const NO_SYSLOG = /^failed to connect to syslog.*\n/gm;

const wordsOf = (line: string): string[] =>
  [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');

/** Ids and prefixes of names are each engine's own. */
function normalized(text: string): string {
  return text
    .replace(/\b(?:sha256:)?[0-9a-f]{64}\b/g, '<id>')
    .replace(/\b[0-9a-f]{12}\b/g, '<short>')
    .replace(/\b(?:localhost|docker\.io\/library)\//g, '');
}
