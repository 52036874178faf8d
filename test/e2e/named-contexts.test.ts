// `--build-context name=…`: another source wherever a stage or an image could be named (BuildKit: dockerui/namedcontext.go).

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { build } from '../support/events.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

let store: string;
let folder: string;
let other: string;
beforeAll(async () => {
  store = freshStore();
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-named-'));
  other = makeContext({ '.dockerignore': 'hidden', hidden: '', a: 'named', 'sub/b': 'B' });
  const context = makeContext({ Dockerfile: 'FROM busybox\nENV from=other\nRUN echo other > /other\n' });
  const layout = path.join(folder, 'layout');
  await tbuildOk(['build', '-q', '-t', 'other:1', '-o', `type=oci,tar=false,dest=${layout}`, context], { store });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const main = (dockerfile: string) => makeContext({ Dockerfile: dockerfile, a: 'main' });

async function see(probe: string, args: readonly string[]): Promise<string> {
  const image = await tbuildOk(['build', '-q', ...args], { store });
  return (await tbuildOk(['run', '--rm', image.trim(), 'sh', '-c', probe], { store })).trim();
}

async function failure(args: readonly string[], code: number): Promise<string> {
  const result = await tbuild(['build', '--progress=plain', ...args], { store });
  expect(result.code, result.stderr).toBe(code);
  return result.stderr;
}

describe('a directory', () => {
  it('is copied from, with the ignore file that it has itself', async () => {
    const context = main('FROM busybox\nCOPY --from=lib . /d\nCOPY a /x\n');
    const said = await see('cat /x /d/a; cd /d; find . -type f | sort | tr "\\n" " "', [
      '--build-context',
      `lib=${other}`,
      context,
    ]);
    expect(said).toBe('mainnamed./.dockerignore ./a ./sub/b');
  });

  it('is mounted from', async () => {
    const context = main('FROM busybox\nRUN --mount=from=lib,target=/m cat /m/a > /x\n');
    expect(await see('cat /x', [`--build-context=lib=${other}`, context])).toBe('named');
  });

  it('is a base, with its files in it and nothing else', async () => {
    const context = main('FROM tree AS t\nFROM busybox\nCOPY --from=t / /d\n');
    expect(await see('cat /d/a; ls /d', ['--build-context', `tree=${other}`, context])).toBe('nameda\nsub');
  });

  it('stands in for a stage, which is not built then', async () => {
    const context = main('FROM busybox AS deps\nRUN exit 7\nFROM busybox\nCOPY --from=deps a /x\n');
    expect(await see('cat /x', ['--build-context', `deps=${other}`, context])).toBe('named');
    expect(
      await see('cat /x', [
        '--build-context',
        `deps=${other}`,
        main('FROM busybox AS Deps\nRUN exit 7\nFROM busybox\nCOPY --from=0 a /x\n'),
      ]),
    ).toBe('named');
  });

  it('is not looked at when nothing uses it', async () => {
    const { code, events } = await build(['--build-context', `lib=${other}`, main('FROM busybox\nCOPY a /\n')], { store });
    expect(code).toBe(0);
    const plan = events.find((event) => event.type === 'plan');
    expect(plan?.steps.map(({ name }) => name)).not.toContain('[context lib] load from client');
  });
});

describe('an image', () => {
  it('stands in for a base, however that is written', async () => {
    for (const written of ['alpine', 'alpine:latest', 'docker.io/library/alpine']) {
      const context = main(`FROM ${written}\nENV x=1\n`);
      for (const name of ['alpine', 'alpine:latest'])
        expect(await see('cat /other; echo $from', ['--build-context', `${name}=docker-image://other:1`, context])).toBe(
          'other\nother',
        );
    }
  });

  it('with a tag stands in for that tag alone', async () => {
    // Nothing listens there.
    const context = ['--build-context', '127.0.0.1:1/alpine:3.18=docker-image://other:1'];
    expect(await see('cat /other', [...context, main('FROM 127.0.0.1:1/alpine:3.18\n')])).toBe('other');
    expect(await failure([...context, main('FROM 127.0.0.1:1/alpine:3.19\n')], 5)).toContain('127.0.0.1:1/alpine:3.19');
  });

  it('is copied from, and may be nothing', async () => {
    const context = main('FROM busybox\nCOPY --from=gen /other /x\n');
    expect(await see('cat /x', ['--build-context', 'gen=docker-image://other:1', context])).toBe('other');
    expect(
      await see('ls /d', [
        '--build-context',
        'gen=docker-image://scratch',
        main('FROM gen AS g\nFROM busybox\nCOPY --from=g / /d\n'),
      ]),
    ).toBe('');
  });

  it('counts for one platform alone when its name says so', async () => {
    const own = (
      await tbuildOk(['inspect', '--format', '{{.Os}}/{{.Architecture}}', 'busybox'], { store }).catch(() => '')
    ).trim();
    const here = own || `linux/${process.arch === 'arm64' ? 'arm64' : 'amd64'}`;
    const context = main('FROM base\nRUN true\n');
    const both = ['--build-context', `base::${here}=docker-image://other:1`, '--build-context', 'base=docker-image://busybox'];
    expect(await see('cat /other', [...both, context])).toBe('other');
    const elsewhere = [
      '--build-context',
      'base::linux/s390x=docker-image://no-such',
      '--build-context',
      'base=docker-image://busybox',
    ];
    expect(await see('ls /other 2>&1 || echo none', [...elsewhere, context])).toContain('none');
  });
});

describe('an OCI layout', () => {
  const base = main('FROM base\nRUN true\n');

  it('gives an image by tag, by name, by digest, or the only one', async () => {
    const layout = path.join(folder, 'layout');
    const digest = JSON.parse(readFileSync(path.join(layout, 'index.json'), 'utf8')).manifests[0].digest;
    for (const value of [`${layout}:1`, layout, `${layout}@${digest}`, `${layout}:1@${digest}`])
      expect(await see('cat /other; echo $from', ['--build-context', `base=oci-layout://${value}`, base])).toBe('other\nother');
    expect(
      await see('cat /x', ['--build-context', `l=oci-layout://${layout}`, main('FROM busybox\nCOPY --from=l /other /x\n')]),
    ).toBe('other');
  });

  it('leaves no name in the store', async () => {
    await see('true', ['--build-context', `base=oci-layout://${path.join(folder, 'layout')}`, base]);
    expect(await tbuildOk(['images'], { store })).not.toContain('layout');
  });

  it('that has no such image, or is none', async () => {
    const layout = path.join(folder, 'layout');
    const none = `sha256:${'0'.repeat(64)}`;
    expect(await failure(['--build-context', `base=oci-layout://${layout}@${none}`, base], 6)).toContain(`has no image ${none}`);
    expect(await failure(['--build-context', `base=oci-layout://${other}`, base], 6)).toContain(
      'is not the folder of an OCI layout',
    );
    expect(await failure(['--build-context', `base=oci-layout://${layout}@sha256:1`, base], 2)).toContain(
      'sha256:1 is not a digest',
    );
  });
});

describe('what is no context', () => {
  it.each([
    ['lib', 2, '--build-context takes name=source, not "lib"', 'as in --build-context lib=../lib'],
    ['lib=', 2, '--build-context takes name=source, not "lib="', ''],
    ['=x', 2, '--build-context takes name=source', ''],
    ['lib=/no/such', 4, 'the build context lib: there is no directory /no/such', 'docker-image://NAME'],
    [`lib=${import.meta.filename}`, 4, 'is not a directory', ''],
    ['lib=docker-imgae://alpine', 2, 'docker-imgae://alpine is no directory', 'did you mean docker-image://alpine?'],
    ['lib=oci-layuot:x', 2, 'oci-layuot:x is no directory', 'did you mean oci-layout://x?'],
    ['lib=docker-image://UPPER', 6, 'must be lowercase', 'write upper'],
    ['lib=target:base', 2, 'target:base is a target of a bake file', ''],
    ['Lib=.', 2, '"Lib" is no name of a context', ''],
    ['a::b::c=.', 2, 'it has more than one ::', ''],
    ['a::no/such/plat/form=.', 2, 'is no name of a context', ''],
  ])('%s', async (value, code, message, hint) => {
    const said = await failure(['--build-context', value, main('FROM scratch\n')], code);
    expect(said).toContain(message);
    expect(said).toContain(hint);
  });
});
