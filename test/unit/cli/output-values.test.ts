import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { TbuildError } from '../../../src/base/errors.ts';
import { parseOutput, readOutputs } from '../../../src/cli/output-values.ts';

function messageOf(act: () => unknown): string {
  try {
    return `no error: ${JSON.stringify(act())}`;
  } catch (error) {
    const { code, message, hint } = error as TbuildError;
    return [code, message, ...(hint ? [hint] : [])].join(' | ');
  }
}

describe('outputs', () => {
  test.each([
    ['type=oci,dest=app.tar', { type: 'oci', destination: 'app.tar', tar: true }],
    ['type=docker,dest=-', { type: 'docker', destination: '-', tar: true }],
    ['type=docker', { type: 'image' }],
    ['type=image,name=app,push=false', { type: 'image' }],
    ['type=cacheonly', { type: 'cacheonly' }],
    ['type=oci,dest=dir,tar=false', { type: 'oci', destination: 'dir', tar: false }],
    ['type=oci,dest=a,name=app:1', { type: 'oci', destination: 'a', tar: true, name: 'app:1' }],
    ['"type=oci","dest=a,""b"""', { type: 'oci', destination: 'a,"b"', tar: true }],
    ['dir', { type: 'local', destination: 'dir', mode: 'copy' }],
    ['dest=dir', { type: 'local', destination: 'dest=dir', mode: 'copy' }],
    [
      'type=local,dest=dir,mode=delete,platform-split=false',
      { type: 'local', destination: 'dir', mode: 'delete', platformSplit: false },
    ],
    ['-', { type: 'tar', destination: '-' }],
    ['type=tar', { type: 'tar', destination: '-' }],
    ['Type=tar, dest =x,platform-split=1', { type: 'tar', destination: 'x', platformSplit: true }],
  ])('%s', (text, output) => {
    expect(parseOutput(text, false)).toEqual(output);
  });

  test('what is wrong is said', () => {
    const lines = [
      'type=zip',
      'type=locl,dest=x',
      'a=b,c=d',
      'type=local',
      'type=local,dest=-',
      'type=local,dest=x,mode=move',
      'type=tar,dest=x,mode=copy',
      'type=tar,dest=x,platform-splt=1',
      'type=registry',
      'type=image,push=true',
      'type=oci,tar=false',
      'type=docker,tar=false,dest=x',
      'type=oci,tar=no',
      'type=oci,dst=x',
    ];
    const said = lines.map((text) => `${text}: ${messageOf(() => parseOutput(text, false))}`);
    expect([...said, `on a terminal: ${messageOf(() => parseOutput('type=oci', true))}`].join('\n')).toMatchInlineSnapshot(`
      "type=zip: usage/bad-value | --output has no type "zip" | it has local, tar, oci, docker, image, registry, cacheonly
      type=locl,dest=x: usage/bad-value | --output has no type "locl" | did you mean type=local?
      a=b,c=d: usage/bad-value | --output needs a type: "a=b,c=d" | as in type=oci,dest=app.tar
      type=local: usage/bad-value | dest is required for local exporter
      type=local,dest=-: usage/bad-value | dest cannot be stdout for local exporter | type=tar,dest=- writes a tar there
      type=local,dest=x,mode=move: usage/bad-value | mode in --output is copy or delete, not "move"
      type=tar,dest=x,mode=copy: usage/bad-value | --output does not know "mode" | it knows type, dest, platform-split
      type=tar,dest=x,platform-splt=1: usage/bad-value | --output does not know "platform-splt" | did you mean platform-split=?
      type=registry: unsupported/push | pushing to a registry is not supported yet | build with -o type=oci,dest=app.tar, and push that with another tool: skopeo copy oci-archive:app.tar docker://REGISTRY/app
      type=image,push=true: unsupported/push | pushing to a registry is not supported yet | build with -o type=oci,dest=app.tar, and push that with another tool: skopeo copy oci-archive:app.tar docker://REGISTRY/app
      type=oci,tar=false: usage/bad-value | --output with tar=false needs a directory: dest=DIR
      type=docker,tar=false,dest=x: usage/bad-value | --output type=docker is always an archive: tar=false goes with type=oci
      type=oci,tar=no: usage/bad-value | tar in --output is true or false, not "no"
      type=oci,dst=x: usage/bad-value | --output does not know "dst" | did you mean dest=?
      on a terminal: usage/terminal | an archive is not written to a terminal | name a file: --output type=oci,dest=FILE; or redirect standard output"
    `);
  });
});

describe('several of them', () => {
  const flags = { quiet: false, iidfile: undefined, allow: [] };

  test('each is read, empty ones are none', () => {
    expect(readOutputs({ ...flags, output: ['out', '', 'type=tar', 'type=oci,dest=x'] }, false).map(({ type }) => type)).toEqual([
      'local',
      'tar',
      'oci',
    ]);
  });

  test("must not get in each other's way", () => {
    const said = [
      messageOf(() => readOutputs({ ...flags, output: ['-', 'type=oci'] }, false)),
      messageOf(() => readOutputs({ ...flags, quiet: true, output: ['-'] }, false)),
      messageOf(() => readOutputs({ ...flags, iidfile: 'id', output: ['out'] }, false)),
    ];
    expect(said.join('\n')).toMatchInlineSnapshot(`
      "usage/conflict | only one thing can be written to standard output: an --output, or the image ID of --quiet
      usage/conflict | only one thing can be written to standard output: an --output, or the image ID of --quiet
      usage/conflict | local and tar exporters are incompatible with image ID file"
    `);
  });

  test('delete only what is below the working directory, links considered, unless allowed', () => {
    const elsewhere = mkdtempSync(path.join(tmpdir(), 'tbuild-delete-'));
    try {
      symlinkSync(process.cwd(), path.join(elsewhere, 'link'));
      const read = (dest: string, allow: string[] = []) =>
        messageOf(() => readOutputs({ ...flags, allow, output: [`type=local,mode=delete,dest=${dest}`] }, false)).split(' ')[0];
      for (const inside of ['out', './a/../b/c', path.join(elsewhere, 'link/out')]) expect(read(inside), inside).toBe('no');
      for (const outside of ['.', '..', '/', '../out', elsewhere, path.join(elsewhere, 'link'), 'out/../..'])
        expect(read(outside), outside).toBe('usage/not-allowed');
      expect(read(elsewhere, ['network.host', 'buildx.local.delete'])).toBe('no');
    } finally {
      rmSync(elsewhere, { recursive: true });
    }
  });
});
