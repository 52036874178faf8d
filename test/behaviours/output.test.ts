// What a build leaves outside of the store. The names are the numbers and sentences of the list of behaviours (all.test.ts).

import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { tbuildOk } from '../support/tbuild.ts';

test('79. Multi-platform local/tar export adds `os_arch/` subdirs unless `platform-split=false`.', async () => {
  const context = makeContext({ Dockerfile: 'FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /', amd64: '', arm64: '' });
  const place = makeContext({});
  const build = (output: string, ...platforms: string[]) =>
    tbuildOk(['build', '--platform', platforms.join(), '-o', output.replace('dest=', `dest=${place}/`), context]);
  const both = ['linux/amd64', 'linux/arm64'];

  await build('type=local,dest=split', ...both);
  expect(filesBelow(path.join(place, 'split'))).toEqual(['linux_amd64/amd64', 'linux_arm64/arm64']);
  await build('type=local,dest=together,platform-split=false', ...both);
  expect(filesBelow(path.join(place, 'together'))).toEqual(['amd64', 'arm64']);
  await build('type=local,dest=one', 'linux/arm64');
  expect(filesBelow(path.join(place, 'one'))).toEqual(['arm64']);
  await build('type=tar,dest=split.tar', ...both);
  const names = execFileSync('tar', ['-tf', path.join(place, 'split.tar')], { encoding: 'utf8' }).split('\n');
  expect(names.filter((name) => /[^/]$/.test(name)).sort()).toEqual(['linux_amd64/amd64', 'linux_arm64/arm64']);
});

function filesBelow(root: string): string[] {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
    .sort();
}
