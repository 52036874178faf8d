// What there is in registries: the catalog and the tags of the real docker-registry, and Docker Hub's search as a server of the test's own gives it.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts';
import { file, serveHttp } from '../support/http-server.ts';
import { emptyStore } from '../support/stores.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

let registry: DockerRegistry;
let folder: string;

beforeAll(async () => {
  registry = await startDockerRegistry();
  folder = mkdtempSync(path.join(tmpdir(), 'tbuild-search-'));
  const names = ['team/app:1', 'team/app:2', 'team/db:1', 'other:1'].flatMap((name) => ['-t', `${registry.host}/${name}`]);
  await tbuildOk([...names, '--push', makeContext({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' })], { store: emptyStore() });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('finds repositories by the catalog, and their tags', async () => {
  const names = async (...args: string[]) => {
    const lines = (await tbuildOk(['search', '--format', 'json', ...args])).trim().split('\n');
    return lines
      .map((line) => JSON.parse(line) as { Name: string; Tag?: string })
      .map(({ Name, Tag }) => [Name, Tag].join(' ').trim())
      .sort();
  };
  expect(await names(`${registry.host}/team`)).toEqual([`${registry.host}/team/app`, `${registry.host}/team/db`]);
  expect(await names(registry.host)).toHaveLength(3);
  expect(await names('--limit', '1', registry.host)).toHaveLength(1);
  expect(await names('--list-tags', `${registry.host}/team/app`)).toEqual(
    ['1', '2'].map((tag) => `${registry.host}/team/app ${tag}`),
  );
  expect(await tbuildOk(['search', '--list-tags', `${registry.host}/other`])).toMatch(/^NAME {4,}TAG\n\S+\/other +1\n$/);
});

it("shows Docker Hub's in docker's columns", async () => {
  const results = [
    {
      name: 'debian',
      description: 'Debian is a Linux distribution that is composed entirely of free software.',
      star_count: 5000,
      is_official: true,
    },
    { name: 'somebody/debian', description: null, star_count: 2, is_official: false },
  ];
  const hub = await serveHttp({ '/v1/search': file(JSON.stringify({ num_results: 2, results })) });
  const conf = path.join(folder, 'registries.conf');
  const [, host] = hub.url.split('//');
  writeFileSync(conf, `[[registry]]\nprefix = "index.docker.io"\nlocation = "${host}"\ninsecure = true\n`);
  const search = (...args: string[]) => tbuildOk(['search', ...args], { env: { CONTAINERS_REGISTRIES_CONF: conf } });
  expect(await search('debian')).toBe(
    [
      'NAME              DESCRIPTION                                     STARS     OFFICIAL',
      'debian            Debian is a Linux distribution that is compo…   5000      [OK]',
      'somebody/debian                                                   2         ',
      '',
    ].join('\n'),
  );
  expect(await search('--filter', 'stars=3', '--no-trunc', 'debian')).toContain('free software.');
  expect(await search('--filter', 'is-official=false', '--format', 'json', 'debian')).toBe(
    '{"Description":"","IsAutomated":"false","IsOfficial":"false","Name":"somebody/debian","StarCount":"2"}\n',
  );
  expect((await tbuild(['search', '--filter', 'x=1', 'debian'])).code).toBe(2);
});
