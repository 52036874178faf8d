// `tbuild sbom`: what real images are made of, as the tools in them say it.
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { makeContext } from '../support/contexts.ts';
import { spdxProblems } from '../support/spdx.ts';
import { tbuild, tbuildOk } from '../support/tbuild.ts';

interface Document {
  readonly creationInfo: { readonly created: string };
  readonly packages: readonly {
    readonly name: string;
    readonly versionInfo?: string;
    readonly externalRefs?: readonly [{ readonly referenceLocator: string }];
  }[];
}

const folder = mkdtempSync(path.join(tmpdir(), 'tbuild-sbom-'));
afterAll(() => rmSync(folder, { recursive: true }));

const purlsOf = ({ packages }: Document, type: string) =>
  packages.map(({ externalRefs }) => externalRefs?.[0].referenceLocator ?? '').filter((purl) => purl.startsWith(`pkg:${type}/`));

test('of a Debian image, what dpkg-query lists in it', async () => {
  const document = JSON.parse(await tbuildOk(['sbom', 'debian:12'])) as Document;
  const format = ['Package', 'Version', 'Architecture'].map((field) => `\${${field}}`).join(' ');
  const listed = await tbuildOk(['run', '--rm', '--network=none', 'debian:12', 'dpkg-query', '-W', '-f', `${format}\n`]);
  const found = document.packages.flatMap(({ name, versionInfo, externalRefs }) => {
    const purl = externalRefs?.[0].referenceLocator ?? '';
    return purl.startsWith('pkg:deb/') ? [`${name} ${versionInfo} ${/[?&]arch=([^&]+)/.exec(purl)?.[1]}`] : [];
  });
  expect(found.sort()).toEqual(listed.trim().split('\n').sort());
  expect(spdxProblems(document)).toEqual([]);
});

test('of a built image, what its layers show together', async () => {
  const context = makeContext({
    Dockerfile: `FROM debian:12
COPY app /app
RUN rm -rf /app/node_modules/gone && ln -s /app/node_modules /linked
`,
    'app/node_modules/left-pad/package.json': '{"name":"left-pad","version":"1.3.0","license":"WTFPL"}',
    'app/node_modules/gone/package.json': '{"name":"gone","version":"1.0.0"}',
    'app/site/Thing-2.0.dist-info/METADATA': 'Metadata-Version: 2.1\nName: Thing\nVersion: 2.0\nLicense: MIT\n',
    'app/node_modules/broken/package.json': '{',
  });
  copyFileSync('/usr/bin/skopeo', path.join(context, 'app/tool'));
  await tbuildOk(['build', '-q', '-t', 'sbom-app', context]);
  const file = path.join(folder, 'sbom.json');
  const { code, stdout, stderr } = await tbuild(['sbom', '-o', file, 'sbom-app'], { env: { SOURCE_DATE_EPOCH: '86400' } });
  expect([code, stdout, stderr]).toEqual([0, '', 'warning: app/node_modules/broken/package.json is not the JSON of a package\n']);
  const document = JSON.parse(readFileSync(file, 'utf8')) as Document;
  expect(spdxProblems(document)).toEqual([]);
  expect(document.creationInfo.created).toBe('1970-01-02T00:00:00Z');
  expect(purlsOf(document, 'npm')).toEqual(['pkg:npm/left-pad@1.3.0']);
  expect(purlsOf(document, 'pypi')).toEqual(['pkg:pypi/thing@2.0']);
  expect(purlsOf(document, 'golang')).toContain('pkg:golang/github.com/containers/skopeo/cmd/skopeo');
  const again = await tbuildOk(['sbom', 'sbom-app'], { env: { SOURCE_DATE_EPOCH: '86400' } });
  expect(again).toBe(readFileSync(file, 'utf8'));
});

test('what is no image, no format and no time is an error', async () => {
  expect(await tbuild(['sbom', 'no-such-image'])).toMatchObject({ code: 6, stdout: '' });
  expect(await tbuild(['sbom', '--format', 'spdx', 'debian:12'])).toMatchObject({ code: 2 });
  expect(await tbuild(['sbom', 'debian:12'], { env: { SOURCE_DATE_EPOCH: 'now' } })).toMatchObject({ code: 2 });
  expect(await tbuild(['sbom', '--platform', 'linux/s390x', 'debian:12'])).toMatchObject({ code: 6 });
});
