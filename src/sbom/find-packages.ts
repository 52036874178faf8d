// Every package that an image's files tell of: the databases of its distribution, and in one walk over all files what language tools and linkers leave.

import { findAlpinePackages } from './apk.ts';
import { findCrates } from './cargo.ts';
import { findDebianPackages } from './dpkg.ts';
import { openElf } from './elf.ts';
import { findGoModules } from './go.ts';
import { type ImageFile, type ImageFiles, inTurns } from './image-files.ts';
import { isNpmPackage, readNpmPackage } from './npm.ts';
import { type Distribution, readDistribution } from './os-release.ts';
import { Findings, type FoundPackage } from './package.ts';
import { isPythonPackage, readPythonPackage } from './python.ts';
import { findRpmPackages } from './rpm.ts';

export interface Inventory {
  readonly distribution: Distribution | undefined;
  /** Sorted by package URL. */
  readonly packages: readonly FoundPackage[];
  /** What could not be read, a line each. */
  readonly notes: readonly string[];
}

/** Between files others have their turn, and `signal` is heard. */
export async function findPackages(files: ImageFiles, signal?: AbortSignal): Promise<Inventory> {
  const findings = new Findings();
  const distribution = readDistribution(files);
  for (const find of [findDebianPackages, findAlpinePackages, findRpmPackages]) find(files, distribution, findings);
  const probed = new Set<string>();
  for await (const file of inTurns(files.all(), signal)) {
    if (isNpmPackage(file.path)) readNpmPackage(files, file, findings);
    else if (isPythonPackage(file.path)) readPythonPackage(files, file, findings);
    else if (isExecutable(file) && !probed.has(file.digest)) {
      // Of the same bytes under many names the first name counts.
      probed.add(file.digest);
      probeBinary(files, file, findings);
    }
  }
  return { distribution, packages: findings.packages(), notes: findings.notes() };
}

const isExecutable = ({ mode, size }: ImageFile): boolean => (mode & 0o111) !== 0 && size > 64;

function probeBinary(files: ImageFiles, file: ImageFile, findings: Findings): void {
  const elf = openElf(files, file);
  if (!elf) return;
  findGoModules(elf, file.path, findings);
  findCrates(elf, file.path, findings);
}
