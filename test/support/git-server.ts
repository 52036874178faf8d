// Git repositories made for a test, and served by git's own http-backend on loopback.

import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll } from 'vitest';
import { type ContextFile, writeFiles } from './contexts.ts';
import type { Answer } from './http-server.ts';

/** A time that commits are made at: the same files are the same commit. */
const DATE = '2021-02-03T04:05:06Z';
export const COMMIT_SECONDS = Date.parse(DATE) / 1000;

const env = {
  PATH: process.env.PATH,
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@test',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@test',
  GIT_AUTHOR_DATE: DATE,
  GIT_COMMITTER_DATE: DATE,
};

export interface Repositories {
  /** A folder whose `<name>.git` are served. */
  readonly root: string;
  /** Runs git in the work tree of a repository; what it prints. */
  git(name: string, ...args: string[]): string;
  /** Writes files into the work tree and commits all of it; the commit. Makes the repository when there is none. */
  commit(name: string, files: Readonly<Record<string, ContextFile>>, objectFormat?: 'sha1' | 'sha256'): string;
  /** For a server: `/git/*`. */
  readonly answer: Answer;
  /** What git was asked for, as `GET /a.git/info/refs`. */
  readonly asked: string[];
}

export function makeRepositories(): Repositories {
  const root = mkdtempSync(path.join(tmpdir(), 'tbuild-git-'));
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  const asked: string[] = [];
  const run = (cwd: string, args: readonly string[]) =>
    execFileSync('git', args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
  const tree = (name: string) => path.join(root, `${name}.work`);
  const git = (name: string, ...args: string[]) => run(tree(name), args);
  const publish = (name: string) => git(name, 'push', '--quiet', '--mirror', path.join(root, `${name}.git`));
  return {
    root,
    asked,
    git: (name, ...args) => {
      const said = git(name, ...args);
      publish(name);
      return said;
    },
    commit: (name, files, objectFormat = 'sha1') => {
      const isNew = !existsSync(path.join(tree(name), '.git'));
      mkdirSync(tree(name), { recursive: true });
      if (isNew) {
        git(name, 'init', '--quiet', '--initial-branch=main', `--object-format=${objectFormat}`);
        run(root, ['init', '--quiet', '--bare', '--initial-branch=main', `--object-format=${objectFormat}`, `${name}.git`]);
      }
      writeFiles(tree(name), files);
      git(name, 'add', '--all');
      git(name, 'commit', '--quiet', '--allow-empty', '--message=x');
      publish(name);
      return git(name, 'rev-parse', 'HEAD');
    },
    answer: (request, response) => {
      const url = new URL(request.url!, 'http://host');
      const info = url.pathname.replace(/^\/git/, '');
      asked.push(`${request.method} ${info}`);
      const child = spawn('git', ['http-backend'], {
        env: {
          ...env,
          GIT_PROJECT_ROOT: root,
          GIT_HTTP_EXPORT_ALL: '1',
          GIT_PROTOCOL: (request.headers['git-protocol'] as string | undefined) ?? '',
          PATH_INFO: info,
          QUERY_STRING: url.search.slice(1),
          REQUEST_METHOD: request.method,
          CONTENT_TYPE: request.headers['content-type'] ?? '',
          HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
          REMOTE_USER: '',
          REMOTE_ADDR: '127.0.0.1',
        },
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      request.pipe(child.stdin);
      child.stdin.on('error', () => {});
      const pieces: Buffer[] = [];
      child.stdout.on('data', (piece: Buffer) => pieces.push(piece));
      child.on('close', () => {
        const all = Buffer.concat(pieces);
        const end = all.indexOf('\r\n\r\n');
        const headers = new Map(
          all
            .toString('latin1', 0, end)
            .split('\r\n')
            .map((line) => line.split(': ') as [string, string]),
        );
        const status = Number.parseInt(headers.get('Status') ?? '200', 10);
        headers.delete('Status');
        response.writeHead(status, Object.fromEntries(headers)).end(all.subarray(end + 4));
      });
    },
  };
}
