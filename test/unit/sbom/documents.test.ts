// What an inventory is as a document: valid, the same whenever it is written, and licences only as SPDX has them.
import { describe, expect, test } from 'vitest';
import { cycloneDxDocument } from '../../../src/sbom/cyclonedx.ts';
import type { Inventory } from '../../../src/sbom/find-packages.ts';
import { Licenses } from '../../../src/sbom/licenses.ts';
import { Findings } from '../../../src/sbom/package.ts';
import { packageUrl } from '../../../src/sbom/purl.ts';
import { spdxDocument } from '../../../src/sbom/spdx.ts';
import { spdxProblems } from '../../support/spdx.ts';

const digest = 'a'.repeat(64);
const identity = { version: `sha256:${digest}`, purl: `pkg:oci/app@sha256:${digest}` };
const subject = { name: 'app:1', identity, createdAt: 1_700_000_000 };

function inventoryOf(...licenses: readonly string[]): Inventory {
  const findings = new Findings();
  for (const [position, license] of licenses.entries()) {
    const name = `p${position}`;
    const more = { supplier: 'Some Team <team@example.org>', homepage: 'https://example.org', summary: 'a thing' };
    findings.add({ purl: `pkg:npm/${name}@1`, name, version: '1', license, ...more }, `node_modules/${name}/package.json`);
  }
  findings.note('something is not read');
  return {
    distribution: { id: 'debian', version: '12', name: 'Debian 12' },
    packages: findings.packages(),
    notes: findings.notes(),
  };
}

describe('package URLs', () => {
  test.each([
    [packageUrl('npm', { namespace: '@angular', name: 'animation', version: '12.3.1' }), 'pkg:npm/%40angular/animation@12.3.1'],
    [packageUrl('deb', { namespace: 'debian', name: 'g++', version: '4:12~2+b(1)' }), 'pkg:deb/debian/g%2B%2B@4:12~2%2Bb%281%29'],
    [packageUrl('golang', { namespace: 'a.org/b', name: 'c' }), 'pkg:golang/a.org/b/c'],
    [
      packageUrl('oci', { name: 'x', qualifiers: { tag: 'a', arch: '', platform: 'linux/amd64' } }),
      'pkg:oci/x?platform=linux%2Famd64&tag=a',
    ],
    [packageUrl('npm', { name: '\udc80', version: '1' }), 'pkg:npm/%EF%BF%BD@1'],
  ])('%s', (made, wanted) => expect(made).toBe(wanted));
});

describe('licences', () => {
  test.each([
    ['MIT', 'MIT'],
    ['MIT or apache-2.0 ', 'MIT OR LicenseRef-apache-2.0'],
    ['(MIT AND (GPL-2.0-only WITH Classpath-exception-2.0))', '(MIT AND (GPL-2.0-only WITH Classpath-exception-2.0))'],
    ['GPL-2.0-only with Linux-syscall-note', 'GPL-2.0-only WITH Linux-syscall-note'],
    ['GPLv2+ and Apache-2.0+', 'LicenseRef-GPLv2-plus AND Apache-2.0+'],
    ['BSD License', 'LicenseRef-BSD-License'],
    ['(MIT', 'LicenseRef-MIT'],
    ['MIT OR', 'LicenseRef-MIT-OR'],
    ['MIT, BSD', 'LicenseRef-MIT-BSD'],
    ['SEE LICENSE IN x', 'LicenseRef-SEE-LICENSE-IN-x'],
    ['MIT WITH my-exception', 'LicenseRef-MIT-WITH-my-exception'],
    ['‽', 'LicenseRef-unnamed'],
    ['', 'NOASSERTION'],
    [undefined, 'NOASSERTION'],
  ])('%s is %s', (written, wanted) => expect(new Licenses().expressionOf(written)).toBe(wanted));

  test('two texts of the same letters are two licences', () => {
    const licenses = new Licenses();
    expect(['a b', 'a  b', 'a/b'].map((written) => licenses.expressionOf(written))).toEqual([
      'LicenseRef-a-b',
      'LicenseRef-a-b',
      'LicenseRef-a-b-2',
    ]);
    expect(licenses.own().map(({ extractedText }) => extractedText)).toEqual(['a b', 'a/b']);
  });
});

describe('documents', () => {
  const inventory = inventoryOf('MIT', 'BSD License', 'GPLv2+ and MIT', '');

  test('SPDX is valid, and holds what was not read as its comment', () => {
    const document = spdxDocument(subject, inventory, 'tbuild-1');
    expect(spdxProblems(JSON.parse(JSON.stringify(document)))).toEqual([]);
    expect(document).toMatchObject({ comment: 'something is not read', creationInfo: { created: '2023-11-14T22:13:20Z' } });
  });

  test('the same image gives the same document, another one another namespace', () => {
    const write = (...licenses: string[]) =>
      spdxDocument(subject, inventoryOf(...licenses), 'tbuild-1') as { documentNamespace: string };
    expect(write('MIT')).toEqual(write('MIT'));
    expect(write('MIT').documentNamespace).not.toBe(write('ISC').documentNamespace);
  });

  test('CycloneDX has the same packages', () => {
    const document = cycloneDxDocument(subject, inventory, 'tbuild-1') as {
      serialNumber: string;
      components: { purl?: string; licenses?: unknown }[];
    };
    expect(document.serialNumber).toMatch(/^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(document.components.map(({ purl, licenses }) => [purl, licenses])).toEqual([
      [undefined, undefined],
      ['pkg:npm/p0@1', [{ expression: 'MIT' }]],
      ['pkg:npm/p1@1', [{ license: { name: 'BSD License' } }]],
      ['pkg:npm/p2@1', [{ license: { name: 'GPLv2+ and MIT' } }]],
      ['pkg:npm/p3@1', undefined],
    ]);
  });
});

test('what packages say of themselves is cut', () => {
  const findings = new Findings();
  const long = 'x'.repeat(100_000);
  const more = { license: long, supplier: long, homepage: `https://${long}`, summary: long };
  findings.add({ purl: 'pkg:npm/a@1', name: 'a', version: '1', ...more }, 'a');
  expect(JSON.stringify(findings.packages()).length).toBeLessThan(1000);
  for (let count = 0; count < 200_000; count++)
    findings.add({ purl: `pkg:npm/${count}`, name: long.slice(0, 999), version: '' }, 'a');
  expect(findings.packages().length).toBeLessThan(70_000);
});

test('findings have a bound, and say so', () => {
  const findings = new Findings();
  const name = 'x'.repeat(2000);
  findings.add({ purl: `pkg:npm/${name}`, name, version: '1' }, 'a');
  for (let count = 0; count < 200_001; count++) findings.add({ purl: `pkg:npm/p${count}`, name: 'p', version: '' }, 'a');
  for (let count = 0; count < 60; count++) findings.note(`note ${count}`);
  expect(findings.packages()).toHaveLength(200_000);
  expect(findings.notes().slice(-2)).toEqual([
    '2 packages are left out: there are too many, or their names are too long',
    '10 more such notes are left out',
  ]);
});
