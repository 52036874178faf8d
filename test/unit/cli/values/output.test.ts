import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { TbuildError } from '../../../../src/base/errors.ts';
import { parseOutput, readOutputs } from '../../../../src/cli/values/output.ts';

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
    ['type=docker', { type: 'engine' }],
    ['type=image,name=app,push=false', { type: 'image', names: ['app'] }],
    ['type=image,name=a,store=true,unpack=1', { type: 'image', names: ['a'] }],
    ['type=docker,name=*', { type: 'engine' }],
    ['type=docker,name=a,compression=zstd', { type: 'engine', names: ['a'], compression: 'zstd' }],
    ['type=cacheonly', { type: 'cacheonly' }],
    ['type=image,push=true', { type: 'image', push: 'name' }],
    ['type=registry,name=a,compression=zstd', { type: 'image', push: 'name', names: ['a'], compression: 'zstd' }],
    ['type=registry,push-by-digest=true,name=a', { type: 'image', push: 'digest', names: ['a'] }],
    ['type=registry,push=false', { type: 'image' }],
    ['type=image,push-by-digest=true', { type: 'image' }],
    [
      'type=oci,dest=a,"name=app,app:2",compression=zstd,compression-level=19,force-compression=true',
      {
        type: 'oci',
        destination: 'a',
        tar: true,
        names: ['app', 'app:2'],
        compression: 'zstd',
        compressionLevel: 19,
        forceCompression: true,
      },
    ],
    [
      'type=docker,dest=a,compression=uncompressed,oci-mediatypes=false,rewrite-timestamp=false',
      { type: 'docker', destination: 'a', tar: true, compression: 'none', mediaTypes: 'docker' },
    ],
    [
      'type=oci,dest=a,annotation.k=v,annotation-index.i=j,annotation-manifest-descriptor[linux/arm64/v8].d=e=f',
      {
        type: 'oci',
        destination: 'a',
        tar: true,
        annotations: [
          { on: 'manifest', key: 'k', value: 'v' },
          { on: 'index', key: 'i', value: 'j' },
          { on: 'manifest-descriptor', platform: 'linux/arm64', key: 'd', value: 'e=f' },
        ],
      },
    ],
    ['type=oci,dest=dir,tar=false', { type: 'oci', destination: 'dir', tar: false }],
    ['type=oci,dest=a,name=app:1', { type: 'oci', destination: 'a', tar: true, names: ['app:1'] }],
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
    ['type=local,dest=x,attestation-prefix=a-', { type: 'local', destination: 'x', mode: 'copy', attestationPrefix: 'a-' }],
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
      'type=tar,dest=x,attestation-prefix=../x',
      'type=oci,tar=false',
      'type=docker,tar=false,dest=x',
      'type=oci,tar=no',
      'type=oci,dst=x',
      'type=oci,dest=x,compression=estargz',
      'type=oci,dest=x,compression=gzp',
      'type=oci,dest=x,compression-level=10',
      'type=oci,dest=x,rewrite-timestamp=true',
      'type=image,store=false',
      'type=image,name-canonical=true',
      'type=oci,dest=x,annotation-manifst.k=v',
      'type=local,dest=x,annotation.k=v',
    ];
    const said = lines.map((text) => `${text}: ${messageOf(() => parseOutput(text, false))}`);
    expect([...said, `on a terminal: ${messageOf(() => parseOutput('type=oci', true))}`].join('\n')).toMatchInlineSnapshot(`
      "type=zip: usage/bad-value | --output has no type "zip" | it has local, tar, oci, docker, image, registry, cacheonly
      type=locl,dest=x: usage/bad-value | --output has no type "locl" | did you mean type=local?
      a=b,c=d: usage/bad-value | --output needs a type: "a=b,c=d" | as in type=oci,dest=app.tar
      type=local: usage/bad-value | dest is required for local exporter
      type=local,dest=-: usage/bad-value | dest cannot be stdout for local exporter | type=tar,dest=- writes a tar there
      type=local,dest=x,mode=move: usage/bad-value | mode in --output is copy or delete, not "move"
      type=tar,dest=x,mode=copy: usage/bad-value | --output does not know "mode" | it knows type, dest, platform-split, attestation-prefix
      type=tar,dest=x,platform-splt=1: usage/bad-value | --output does not know "platform-splt" | did you mean platform-split=?
      type=tar,dest=x,attestation-prefix=../x: usage/bad-value | attestation-prefix in --output is the beginning of a name, not "../x"
      type=oci,tar=false: usage/bad-value | --output with tar=false needs a directory: dest=DIR
      type=docker,tar=false,dest=x: usage/bad-value | --output type=docker is always an archive: tar=false goes with type=oci
      type=oci,tar=no: usage/bad-value | tar in --output is true or false, not "no"
      type=oci,dst=x: usage/bad-value | --output does not know "dst" | did you mean dest=?
      type=oci,dest=x,compression=estargz: unsupported/output | --output does not support compression=estargz | gzip, zstd and uncompressed are there
      type=oci,dest=x,compression=gzp: usage/bad-value | compression in --output is gzip, zstd or uncompressed, not "gzp" | did you mean compression=gzip?
      type=oci,dest=x,compression-level=10: usage/bad-value | compression-level in --output is 0 to 9, not "10"
      type=oci,dest=x,rewrite-timestamp=true: unsupported/output | --output does not support rewrite-timestamp=true | --reproducible makes layers with one time
      type=image,store=false: unsupported/output | --output does not support store=false | type=cacheonly writes nothing
      type=image,name-canonical=true: unsupported/output | --output does not support name-canonical=true | names with a digest come from registries
      type=oci,dest=x,annotation-manifst.k=v: usage/bad-value | unknown annotation type "manifst" | did you mean manifest?
      type=local,dest=x,annotation.k=v: usage/bad-value | --output does not know "annotation.k" | it knows type, dest, mode, platform-split, attestation-prefix
      on a terminal: usage/terminal | an archive is not written to a terminal | name a file: --output type=oci,dest=FILE; or redirect standard output"
    `);
  });
});

describe('several of them', () => {
  const flags = { push: false, load: false, quiet: false, iidfile: undefined, allow: [], annotation: [] };

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

test('annotations of the command line are those of every output that can have them', () => {
  const flags = { push: false, load: false, tag: [], quiet: false, iidfile: undefined, allow: [] };
  const annotation = ['a=b', '', 'index,manifest-descriptor[linux/amd64]:c:d=e'];
  expect(readOutputs({ ...flags, annotation, output: ['out', 'type=oci,dest=x,annotation.f=g'] }, false)).toEqual([
    { type: 'local', destination: 'out', mode: 'copy' },
    {
      type: 'oci',
      destination: 'x',
      tar: true,
      annotations: [
        { on: 'manifest', key: 'a', value: 'b' },
        { on: 'index', key: 'c:d', value: 'e' },
        { on: 'manifest-descriptor', platform: 'linux/amd64', key: 'c:d', value: 'e' },
        { on: 'manifest', key: 'f', value: 'g' },
      ],
    },
  ]);
  const said = ['x', '=x', 'manifes:a=b', 'index[x:a=b', 'index[a/b/c/d]:k=v'].map((text) =>
    messageOf(() => readOutputs({ ...flags, annotation: [text], output: ['type=oci'] }, false)),
  );
  expect(said.join('\n')).toMatchInlineSnapshot(`
    "usage/bad-value | invalid annotation "x", expected key=value
    usage/bad-value | --annotation has an empty key in "=x"
    usage/bad-value | unknown annotation type "manifes" | did you mean manifest?
    usage/bad-value | invalid annotation type "index[x", expected type and optional platform in square brackets
    usage/bad-platform | "a/b/c/d" is not a platform: write os/architecture[/variant] | for example linux/arm64"
  `);
});
