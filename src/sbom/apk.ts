// apk's database: fields of one letter (apk-tools: apk-v2(5), package.5).

import { type ImageFiles, readText } from './image-files.ts';
import { type Distribution, distroQualifier } from './os-release.ts';
import type { Findings } from './package.ts';
import { packageUrl } from './purl.ts';
import { readStanzas } from './stanzas.ts';

const MAX_BYTES = 64 << 20;
const PLACES = ['lib/apk/db/installed', 'usr/lib/apk/db/installed'];

export function findAlpinePackages(files: ImageFiles, distribution: Distribution | undefined, findings: Findings): void {
  const found = PLACES.map((path) => files.find(path));
  for (const file of new Set(found.filter((each) => each !== undefined).map(({ path }) => path))) {
    readInstalled(files, file, distribution, findings);
  }
}

function readInstalled(files: ImageFiles, path: string, distribution: Distribution | undefined, findings: Findings): void {
  const file = files.find(path);
  const text = file && readText(files, file, MAX_BYTES, findings);
  if (text === undefined) return;
  for (const stanza of readStanzas(text)) {
    const name = stanza.first('P');
    if (name === undefined) continue;
    const version = stanza.first('V') ?? '';
    const purl = packageUrl('apk', {
      namespace: distribution?.id ?? 'alpine',
      name,
      version,
      qualifiers: { arch: stanza.first('A'), distro: distroQualifier(distribution) },
    });
    const [license, supplier, homepage, summary] = ['L', 'm', 'U', 'T'].map((field) => stanza.first(field));
    findings.add({ purl, name, version, license, supplier, homepage, summary }, path);
  }
}
