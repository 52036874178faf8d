// Tars of files as images: from a file, a pipe and a URL, compressed or not; the changes of a config that docker takes; what is no tar changes nothing.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { digestOf } from '../support/archives.ts';
import { file, serveHttp } from '../support/http-server.ts';
import { asOwner } from '../support/own-files.ts';
import { emptyStore } from '../support/stores.ts';
import { repository, tbuild, tbuildOk } from '../support/tbuild.ts';

let folder: string;
const at = (...names: string[]) => path.join(folder, ...names);

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-import-'));
  mkdirSync(at('root/bin'), { recursive: true });
  execFileSync('cp', ['/bin/busybox', at('root/bin/sh')]);
  execFileSync('tar', ['--owner=7', '--group=8', '-cf', at('root.tar'), '-C', at('root'), '.']);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Inspected {
  readonly Id: string;
  readonly Architecture: string;
  readonly Comment: string;
  readonly Config: Record<string, unknown>;
  readonly RootFS: { readonly Layers: readonly string[] };
}

async function inspect(store: string, name: string): Promise<Inspected> {
  return (JSON.parse(await tbuildOk(['inspect', name], { store })) as [Inspected])[0];
}

it.each(['cat', 'gzip', 'bzip2', 'xz', 'zstd'])('takes a tar through %s, whose digest is the diff ID', async (compressor) => {
  const store = emptyStore();
  const tar = readFileSync(at('root.tar'));
  const input = execFileSync(compressor, compressor === 'cat' ? [] : ['-c'], { input: tar, maxBuffer: 1 << 26 });
  const id = (await tbuildOk(['import', '-', 'app:1'], { store, input })).trim();
  const image = await inspect(store, 'app:1');
  expect(image.Id).toBe(id);
  expect(image.RootFS.Layers).toEqual([digestOf(tar)]);
  expect(image.Comment).toBe('Imported from -');
  expect(image.Config).toEqual({});
  expect(await tbuildOk(['fsck'], { store })).toContain('no problems');
});

it('runs, with the config that was said', async () => {
  const store = emptyStore();
  const changes = [
    'CMD echo "$A $PWD $(stat -c %u:%g /bin/sh)"',
    'ENV A=one B="two words"\nWORKDIR /tmp/x',
    'EXPOSE 80/udp',
    'LABEL a=$A',
    'USER 7',
    'VOLUME /data',
    'STOPSIGNAL INT',
    'HEALTHCHECK NONE',
    'ONBUILD RUN x',
  ];
  const flags = [...changes.flatMap((change) => ['-c', change]), '-m', 'by hand', '--platform', 'linux/amd64/v2'];
  await tbuildOk(['import', ...flags, at('root.tar'), 'app'], { store });
  const image = await inspect(store, 'app');
  expect(image.Comment).toBe('by hand');
  expect(image.Config).toEqual({
    User: '7',
    Env: ['A=one', 'B=two words'],
    Cmd: ['/bin/sh', '-c', 'echo "$A $PWD $(stat -c %u:%g /bin/sh)"'],
    WorkingDir: '/tmp/x',
    ExposedPorts: { '80/udp': {} },
    Labels: { a: 'one' },
    Volumes: { '/data': {} },
    StopSignal: 'INT',
    Healthcheck: { Test: ['NONE'] },
    OnBuild: ['RUN x'],
  });
});

it('runs what was imported, by its ID too', async () => {
  const store = emptyStore();
  const id = (
    await tbuildOk(['import', '-c', 'ENTRYPOINT ["/bin/sh", "stat", "-c", "%u:%g"]', at('root.tar')], { store })
  ).trim();
  const args = ['run', '--rm', '--entrypoint', '/bin/sh', id, '-c', 'echo it runs'];
  expect(await tbuildOk(args, { store })).toBe('it runs\n');
  const history = JSON.parse(await tbuildOk(['history', '--format', 'json', id], { store }));
  expect(history.Comment).toBe('Imported from -');
});

it('is saved as an image of everybody: valid, its tar as it was given', async ({ skip }) => {
  const store = emptyStore();
  await tbuildOk(['import', at('root.tar'), 'app:1'], { store, env: { SOURCE_DATE_EPOCH: '1700000000' } });
  const first = (await inspect(store, 'app:1')).Id;
  const again = await tbuildOk(['import', at('root.tar')], { store, env: { SOURCE_DATE_EPOCH: '1700000000' } });
  expect(again.trim()).toBe(first);
  await tbuildOk(['save', '-o', at('saved.tar'), 'app:1'], { store });
  mkdirSync(at('saved'));
  asOwner('tar', ['xf', at('saved.tar'), '-C', at('saved')]);
  const blob = digestOf(readFileSync(at('root.tar'))).replace(':', '/');
  expect(readFileSync(at('saved/blobs', blob)).equals(readFileSync(at('root.tar')))).toBe(true);
  const validator = path.join(repository, '../shared/conformance/validate_image.py');
  if (!readdirSync(path.dirname(path.dirname(repository))).includes('shared')) skip(`${validator} is not there`);
  expect(asOwner('python3', [validator, at('saved')])).toBe('VALID\n');
});

it('takes a tar from a URL, and says which', async () => {
  const store = emptyStore();
  const server = await serveHttp({ '/root.tar.gz': file(execFileSync('gzip', ['-c', at('root.tar')], { maxBuffer: 1 << 26 })) });
  const url = `${server.url}/root.tar.gz`;
  await tbuildOk(['import', url, 'app'], { store });
  expect((await inspect(store, 'app')).Comment).toBe(`Imported from ${url}`);
  await tbuildOk(['import', url, 'app:2'], { store });
  expect(server.log).toEqual(['GET /root.tar.gz 200', 'GET /root.tar.gz 304']);
  const { code, stderr } = await tbuild(['import', `${server.url}/none`], { store });
  expect([code, stderr.split('\n')[0]]).toEqual([4, `error: cannot download ${server.url}/none: invalid response status 404`]);
});

it('an archive without files is an image without files', async () => {
  const store = emptyStore();
  await tbuildOk(['import', '-', 'scratch:mine'], { store, input: Buffer.alloc(10240) });
  expect((await inspect(store, 'scratch:mine')).RootFS.Layers).toHaveLength(1);
});

it('says what is wrong, and the store stays empty', async () => {
  const store = emptyStore();
  const fail = async (...args: string[]) => {
    const { code, stderr } = await tbuild(['import', ...args], { store, input: 'this is no tar' });
    return `${code} ${stderr.split('\n')[0]}`;
  };
  expect(await fail('-c', 'RUN x', '-')).toBe('2 error: RUN is not a valid change command');
  expect(await fail('-c', 'FROM x', '-')).toBe('2 error: FROM is not a valid change command');
  expect(await fail('-c', 'ENB x', '-')).toBe('3 error: unknown instruction: ENB (did you mean ENV?)');
  expect(await fail('-')).toBe('6 error: cannot import standard input: the archive ends in the middle of a member');
  expect(await fail(at('none.tar'))).toBe(`6 error: cannot read the archive ${at('none.tar')}: there is no such file`);
  expect(await fail(at('root.tar'), 'A B')).toMatch(/^\d error: invalid image reference "A B"/);
  const pinned = `app@${digestOf('x')}`;
  expect(await fail(at('root.tar'), pinned)).toBe(
    `2 error: an import cannot be named ${pinned}: its digest is what it will have`,
  );
  writeFileSync(at('cut.tar'), readFileSync(at('root.tar')).subarray(0, 100_000));
  expect(await fail(at('cut.tar'))).toBe(`6 error: cannot import ${at('cut.tar')}: the archive ends in the middle of a member`);
  const zeros = 'truncate -s 3G "$1" && tar -cf - "$1" | zstd -q > "$1.tar.zst"; rm "$1"';
  execFileSync('sh', ['-c', zeros, 'sh', at('zeros')], { stdio: 'ignore' });
  expect(await fail(at('zeros.tar.zst'))).toMatch(/^6 error: cannot import .* it unpacks to more than 1 GiB/);
  expect(readdirSync(path.join(store, 'layers'))).toEqual([]);
  expect(await tbuildOk(['fsck'], { store })).toContain('checked 0 images, 0 layers');
});
