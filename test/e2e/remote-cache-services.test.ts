// `--cache-to` and `--cache-from` of the types s3 and gha, on servers that speak as those services do and check who asks.

import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { type GhaServer, startGhaServer } from '../support/gha-server.ts';
import { type S3Server, s3Credentials, startS3Server } from '../support/s3-server.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

const run = promisify(execFile);
const folder = mkdtempSync(path.join(tmpdir(), 'tbuild-cache-services-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const context = (word: string) =>
  makeContext({
    Dockerfile:
      'FROM busybox AS make\nCOPY word /word\nRUN seq 300000 > /numbers; rev /word > /drow\nFROM busybox\nCOPY --from=make /drow /\n',
    word,
  });
const cachedCount = (output: string): number => output.match(/^#\d+ CACHED$/gm)?.length ?? 0;

describe('s3', () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await startS3Server();
  });
  const options = () => `type=s3,bucket=caches,region=eu-north-1,prefix=it's,endpoint_url=${server.url}`;
  const build = (where: readonly string[], word = 'abc', env: NodeJS.ProcessEnv = s3Credentials, store = freshStore()) =>
    tbuild(['-t', 'app', ...where, context(word)], { store, env: { AWS_SESSION_TOKEN: undefined, ...env } });

  it('is honest: s3cmd gets what it puts, and nothing with another key', async () => {
    const file = path.join(folder, 'file');
    writeFileSync(file, 'text of s3cmd');
    const host = new URL(server.url).host;
    const s3cmd = (key: string, ...args: string[]) =>
      run('s3cmd', [
        '--config=/dev/null',
        '--no-ssl',
        `--host=${host}`,
        `--host-bucket=${host}`,
        '--access_key=AKTEST',
        `--secret_key=${key}`,
        ...args,
      ]);
    const right = s3Credentials.AWS_SECRET_ACCESS_KEY;
    await s3cmd(right, 'put', file, 's3://others/a folder/file');
    const { stdout } = await s3cmd(right, 'ls', '--recursive', 's3://others');
    expect(stdout).toContain('s3://others/a folder/file');
    await s3cmd(right, 'get', '--force', 's3://others/a folder/file', `${file}.back`);
    expect(readFileSync(`${file}.back`, 'utf8')).toBe('text of s3cmd');
    await expect(s3cmd('wrong', 'ls', 's3://others')).rejects.toThrow('the signature is another');
  });

  it('what one machine has done another one finds, and s3cmd lists', async () => {
    const first = await build(['--cache-to', `${options()},mode=max`]);
    expect(first.code, first.stderr).toBe(0);
    const store = freshStore();
    server.log.length = 0;
    const second = await build(['--cache-from', options()], 'abc', s3Credentials, store);
    expect(second.code, second.stderr).toBe(0);
    expect(cachedCount(second.stderr)).toBe(3);
    expect(server.log.filter((line) => line.includes('/blobs/')).length).toBe(3);
    expect(await tbuildOk(['run', '--rm', 'app', 'cat', '/drow'], { store, env: s3Credentials })).toBe('cba');
    expect([...server.objects.keys()].filter((name) => name.startsWith("caches/it's/entries/")).length).toBe(4);
  });

  it('lists go on where they are long', async () => {
    server.pageSize = 1;
    expect(cachedCount((await build(['--cache-from', options()])).stderr)).toBe(3);
    server.pageSize = 1000;
  });

  it('who may not is told so, and builds all the same', async () => {
    const wrong = { ...s3Credentials, AWS_SECRET_ACCESS_KEY: 'another' };
    const read = await build(['--cache-from', options()], 'abc', wrong);
    expect(read.code, read.stderr).toBe(0);
    expect(read.stderr).toContain('cannot be read, the build goes on without it');
    expect(read.stderr).toContain('answered 403: the signature is another');
    const none = await build(['--cache-from', options()], 'abc', { AWS_ACCESS_KEY_ID: undefined });
    expect(none.code, none.stderr).toBe(0);
    expect(none.stderr).toContain('needs AWS_ACCESS_KEY_ID');
    const written = await build(['--cache-to', options()], 'def', wrong);
    expect(written.code).toBe(5);
  });
});

describe('gha', () => {
  let server: GhaServer;
  beforeAll(async () => {
    server = await startGhaServer();
  });
  const build = (where: readonly string[], word = 'abc', store = freshStore()) =>
    tbuild(['-t', 'app', ...where, context(word)], { store, env: server.env });

  it('what one job has done another one finds', async () => {
    const first = await build(['--cache-to', 'type=gha,mode=max']);
    expect(first.code, first.stderr).toBe(0);
    const store = freshStore();
    const second = await build(['--cache-from', 'type=gha'], 'abc', store);
    expect(second.code, second.stderr).toBe(0);
    expect(cachedCount(second.stderr)).toBe(3);
    expect(await tbuildOk(['run', '--rm', 'app', 'cat', '/drow'], { store, env: server.env })).toBe('cba');
    expect(cachedCount((await build(['--cache-from', 'type=gha,scope=other'])).stderr)).toBe(0);
  });

  it('jobs at the same time keep what each of them has made', async () => {
    const words = ['one', 'two', 'three'];
    const jobs = await Promise.all(words.map((word) => build(['--cache-to', 'type=gha,scope=many,mode=max'], word)));
    for (const { code, stderr } of jobs) expect(code, stderr).toBe(0);
    for (const word of words) expect(cachedCount((await build(['--cache-from', 'type=gha,scope=many'], word)).stderr)).toBe(3);
  });
});
