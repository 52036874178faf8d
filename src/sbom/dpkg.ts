// dpkg's database: var/lib/dpkg/status, and status.d with a file for each package where there is no dpkg (distroless images).

import { type ImageFile, type ImageFiles, readText } from './image-files.ts';
import { type Distribution, distroQualifier } from './os-release.ts';
import type { Findings } from './package.ts';
import { packageUrl } from './purl.ts';
import { readStanzas, type Stanza } from './stanzas.ts';

const MAX_BYTES = 64 << 20;

export function findDebianPackages(files: ImageFiles, distribution: Distribution | undefined, findings: Findings): void {
  const whole = files.find('var/lib/dpkg/status');
  const parts = files.list('var/lib/dpkg/status.d').filter(({ path }) => !path.endsWith('.md5sums'));
  for (const file of whole ? [whole, ...parts] : parts) readStatus(files, file, distribution, findings);
}

function readStatus(files: ImageFiles, file: ImageFile, distribution: Distribution | undefined, findings: Findings): void {
  const text = readText(files, file, MAX_BYTES, findings);
  if (text === undefined) return;
  for (const stanza of readStanzas(text)) {
    const name = stanza.first('Package');
    if (name === undefined || !isInstalled(stanza)) continue;
    const version = stanza.first('Version') ?? '';
    const purl = packageUrl('deb', {
      namespace: distribution?.id ?? 'debian',
      name,
      version,
      qualifiers: { arch: stanza.first('Architecture'), distro: distroQualifier(distribution) },
    });
    const [supplier, homepage, summary] = ['Maintainer', 'Homepage', 'Description'].map((field) => stanza.first(field));
    findings.add({ purl, name, version, supplier, homepage, summary }, file.path);
  }
}

/** `want flag status`; a removed package may have left its configuration. Without dpkg nobody writes the field. */
function isInstalled(stanza: Stanza): boolean {
  const status = stanza.first('Status')?.split(' ')[2];
  return status !== 'not-installed' && status !== 'config-files';
}
