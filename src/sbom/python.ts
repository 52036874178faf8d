// Python packages as pip installs them: METADATA of a *.dist-info (packaging: core metadata), PKG-INFO of a *.egg-info, or a file of that name.

import type { ImageFile, ImageFiles } from './image-files.ts';
import type { Findings } from './package.ts';
import { packageUrl } from './purl.ts';
import { readStanzas, type Stanza } from './stanzas.ts';

/** The description follows the fields, and may be long. */
const HEAD_BYTES = 64 << 10;

export const isPythonPackage = (path: string): boolean =>
  /\.dist-info\/METADATA$|\.egg-info(?:\/PKG-INFO)?$/.test(path) && !path.includes('/__pycache__/');

export function readPythonPackage(files: ImageFiles, file: ImageFile, findings: Findings): void {
  const head = files.read(file, 0, HEAD_BYTES).toString();
  const [stanza] = readStanzas(head);
  const name = stanza?.first('Name');
  if (!stanza || name === undefined) {
    findings.note(`${file.path} does not name a package`);
    return;
  }
  const version = stanza.first('Version') ?? '';
  // PyPI takes these for the same (purl-spec: pypi).
  const purl = packageUrl('pypi', { name: name.toLowerCase().replaceAll('_', '-'), version });
  const [homepage, summary] = ['Home-page', 'Summary'].map((field) => stanza.first(field));
  findings.add({ purl, name, version, license: licenseOf(stanza), supplier: authorOf(stanza), homepage, summary }, file.path);
}

/** The field License may hold the whole text of one. */
function licenseOf(stanza: Stanza): string | undefined {
  const written = stanza.first('License-Expression') ?? stanza.first('License');
  if (written !== undefined && written.length <= 100 && written !== 'UNKNOWN') return written;
  const classes = stanza.all('Classifier').filter((each) => each.startsWith('License :: '));
  const names = classes.map((each) => each.slice(each.lastIndexOf(' :: ') + 4)).filter((each) => each !== 'OSI Approved');
  return names.join(' AND ') || undefined;
}

function authorOf(stanza: Stanza): string | undefined {
  const name = stanza.first('Author') ?? stanza.first('Maintainer');
  const address = stanza.first('Author-email') ?? stanza.first('Maintainer-email');
  const known = [name, address].filter((each) => each !== undefined && each !== 'UNKNOWN');
  // The address may have the name with it, and be several.
  if (known.length < 2) return known[0]?.split(',')[0];
  return address?.includes('<') ? address.split(',')[0] : `${name} <${address}>`;
}
