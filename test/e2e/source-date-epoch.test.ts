// SOURCE_DATE_EPOCH that names where the time is: the context, a named context, or a stage that is one remote ADD; from git and over HTTP, on loopback.
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { tarOf } from '../support/archives.ts';
import { makeContext } from '../support/contexts.ts';
import { COMMIT_SECONDS, makeRepositories } from '../support/git-server.ts';
import { type Answer, file, serveHttp } from '../support/http-server.ts';
import { freshStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

const answers: Record<string, Answer> = {};
/** As `file` serves it. */
const MODIFIED = Date.parse('2020-01-02T03:04:05Z') / 1000;
const NEWEST = 1_234_567_890;
let url: string;
let store: string;

beforeAll(async () => {
  store = freshStore();
  const repositories = makeRepositories();
  ({ url } = await serveHttp(answers));
  answers['/git/*'] = repositories.answer;
  repositories.commit('app', {
    Dockerfile: 'FROM scratch\nARG SOURCE_DATE_EPOCH\nCOPY Dockerfile /\nLABEL at=$SOURCE_DATE_EPOCH\n',
  });
  const archive = gzipSync(
    await tarOf([
      {
        name: 'Dockerfile',
        content: 'FROM scratch\nARG SOURCE_DATE_EPOCH\nCOPY a /\nLABEL at=$SOURCE_DATE_EPOCH\n',
        mtime: new Date(1e12),
      },
      { name: 'a', content: 'a', mtime: new Date(NEWEST * 1000) },
    ]),
  );
  answers['/dated.tar.gz'] = file(archive);
  answers['/undated.tar.gz'] = (_, response) => void response.end(archive);
  answers['/undated'] = (_, response) => void response.end('no archive');
});

/** The time of the image, and what the build argument was to the Dockerfile. */
async function build(epoch: string, ...args: string[]): Promise<{ at: number | undefined; label: string | undefined }> {
  const started = Date.now() / 1000 - 5;
  await tbuildOk(['build', '-q', '-t', 'app', '--build-arg', `SOURCE_DATE_EPOCH=${epoch}`, ...args], { store });
  const [image] = JSON.parse(await tbuildOk(['inspect', 'app'], { store })) as [
    { Created: string; Config: { Labels: Record<string, string> } },
  ];
  const at = Date.parse(image.Created) / 1000;
  return { at: at > started ? undefined : at, label: image.Config.Labels.at || undefined };
}

const dated = (seconds: number) => ({ at: seconds, label: String(seconds) });

describe('the context', () => {
  test('is as old as its commit, its download, else its newest file', async () => {
    expect(await build('context', `${url}/git/app.git`)).toEqual(dated(COMMIT_SECONDS));
    expect(await build('context', `${url}/dated.tar.gz`)).toEqual(dated(MODIFIED));
    expect(await build('context', `${url}/undated.tar.gz`)).toEqual(dated(NEWEST));
  });

  test('that has a name, too', async () => {
    const local = makeContext({
      Dockerfile: 'FROM scratch\nARG SOURCE_DATE_EPOCH\nCOPY Dockerfile /\nLABEL at=$SOURCE_DATE_EPOCH\n',
    });
    expect(await build('src', '--build-context', `src=${url}/git/app.git`, local)).toEqual(dated(COMMIT_SECONDS));
  });
});

describe('a stage that is one remote ADD', () => {
  const stage = (add: string) =>
    makeContext({
      Dockerfile: `FROM scratch AS Source\nARG NAME=x\n${add}\nFROM scratch\nARG SOURCE_DATE_EPOCH\nCOPY Dockerfile /\nLABEL at=$SOURCE_DATE_EPOCH\n`,
    });

  test.each([
    ['a repository', () => `ADD ${url}/git/app.git /`, COMMIT_SECONDS],
    ['a file', () => `ADD ${url}/dated.tar.gz /`, MODIFIED],
    ['an archive without a time', () => `ARG FILE=undated.tar.gz\nADD ${url}/$FILE /`, NEWEST],
  ])('is as old as what it takes: %s', async (_, add, seconds) => {
    expect(await build('source', stage(add()))).toEqual(dated(seconds));
  });

  test('of which nobody knows the time is none', async () => {
    expect((await build('source', stage(`ADD ${url}/undated /`))).at).toBeUndefined();
  });

  test('is unpacked for its time no further than any archive may be', async () => {
    answers['/bomb.tar.gz'] = (_, response) => void response.end(bomb);
    const bomb = gzipSync(await tarOf([{ name: 'zeros', content: '\0'.repeat(2 ** 21) }]));
    const args = ['build', '--build-arg', 'SOURCE_DATE_EPOCH=source', stage(`ADD ${url}/bomb.tar.gz /`)];
    const { code, stderr } = await tbuild(args, { store, env: { TBUILD_MAX_UNPACKED: '1m' } });
    expect(stderr).toContain('cannot extract bomb.tar.gz: it unpacks to more than 1m (TBUILD_MAX_UNPACKED)');
    expect(code).toBe(4);
  });
});
