// rpm's database: a table of headers in SQLite, since rpm 4.16. What came before (Berkeley DB) and SUSE's (ndb) are named as not read.

import type { ImageFile, ImageFiles } from './image-files.ts';
import { type Distribution, distroQualifier } from './os-release.ts';
import type { Findings } from './package.ts';
import { packageUrl } from './purl.ts';
import { readHeader, tags } from './rpm-header.ts';
import { DamagedTable, readTable } from './sqlite-table.ts';

const PLACES = ['usr/lib/sysimage/rpm', 'var/lib/rpm'];
const OTHERS = { Packages: 'Berkeley DB', 'Packages.db': 'ndb' };

export function findRpmPackages(files: ImageFiles, distribution: Distribution | undefined, findings: Findings): void {
  // One place is a link to the other where distributions have moved it.
  const seen = new Set<string>();
  for (const place of PLACES) {
    const file = files.find(`${place}/rpmdb.sqlite`);
    if (file && !seen.has(file.path)) {
      seen.add(file.path);
      readDatabase(files, file, distribution, findings);
      const log = files.find(`${place}/rpmdb.sqlite-wal`);
      if (log && log.size > 0) findings.note(`${log.path} is not read: what was installed last may be missing`);
    }
    for (const [name, format] of Object.entries(OTHERS)) {
      const other = files.find(`${place}/${name}`);
      if (other) findings.note(`${other.path} is not read: rpm's format ${format} is not supported`);
    }
  }
}

function readDatabase(files: ImageFiles, file: ImageFile, distribution: Distribution | undefined, findings: Findings): void {
  let unreadable = 0;
  try {
    for (const [, blob] of readTable(files, file, 'Packages')) {
      const header = Buffer.isBuffer(blob) ? readHeader(blob) : undefined;
      if (header === undefined) unreadable += 1;
      else addPackage(header, file.path, distribution, findings);
    }
  } catch (error) {
    if (!(error instanceof DamagedTable)) throw error;
    findings.note(`${file.path} is damaged, packages may be missing: ${error.message}`);
  }
  if (unreadable > 0) findings.note(`${unreadable} packages of ${file.path} cannot be read`);
}

function addPackage(
  header: ReadonlyMap<number, string>,
  path: string,
  distribution: Distribution | undefined,
  findings: Findings,
): void {
  const name = header.get(tags.name);
  // Keys stand among the packages.
  if (name === undefined || name === 'gpg-pubkey') return;
  const [version, release, epoch] = [tags.version, tags.release, tags.epoch].map((tag) => header.get(tag));
  const full = [version, release].filter((part) => part !== undefined).join('-');
  const purl = packageUrl('rpm', {
    namespace: distribution?.id,
    name,
    version: full,
    qualifiers: { arch: header.get(tags.arch), distro: distroQualifier(distribution), epoch },
  });
  findings.add(
    {
      purl,
      name,
      version: epoch === undefined || epoch === '0' ? full : `${epoch}:${full}`,
      license: header.get(tags.license),
      supplier: header.get(tags.vendor),
      homepage: header.get(tags.url),
      summary: header.get(tags.summary),
    },
    path,
  );
}
