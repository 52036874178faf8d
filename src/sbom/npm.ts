// npm packages: a package.json in a directory of node_modules that is named like a package. Those deeper inside are parts of it.

import { type ImageFile, type ImageFiles, readText } from './image-files.ts';
import type { Findings } from './package.ts';
import { packageUrl } from './purl.ts';

const MAX_BYTES = 1 << 20;

export const isNpmPackage = (path: string): boolean =>
  /(?:^|\/)node_modules\/(?:@[^/]+\/)?[^/@.][^/]*\/package\.json$/.test(path);

export function readNpmPackage(files: ImageFiles, file: ImageFile, findings: Findings): void {
  const text = readText(files, file, MAX_BYTES, findings);
  if (text === undefined) return;
  const manifest = parse(text);
  if (manifest === undefined) {
    findings.note(`${file.path} is not the JSON of a package`);
    return;
  }
  const { name, version } = manifest;
  // Who has no name or version is published by nobody: an example, a test, a part of another package.
  if (typeof name !== 'string' || typeof version !== 'string' || name === '') return;
  const slash = name.startsWith('@') ? name.indexOf('/') : -1;
  const purl = packageUrl('npm', { namespace: name.slice(0, Math.max(0, slash)), name: name.slice(slash + 1), version });
  const { homepage, description } = manifest;
  findings.add(
    {
      purl,
      name,
      version,
      license: licenseOf(manifest),
      supplier: personOf(manifest.author),
      homepage: typeof homepage === 'string' ? homepage : undefined,
      summary: typeof description === 'string' ? description : undefined,
    },
    file.path,
  );
}

function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    // A byte order mark is common enough.
    const value: unknown = JSON.parse(text.replace(/^\ufeff/, ''));
    return value !== null && typeof value === 'object' && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

/** A text; before npm 3 `{type}`, or a list of those. */
function licenseOf({ license, licenses }: Readonly<Record<string, unknown>>): string | undefined {
  if (typeof license === 'string') return license;
  const old = [license, ...(Array.isArray(licenses) ? licenses.slice(0, 10) : [])];
  const types = old.map((each) => (each as { type?: unknown } | null | undefined)?.type);
  return types.filter((type) => typeof type === 'string').join(' OR ') || undefined;
}

/** `Name <address> (url)`, or its members. */
function personOf(author: unknown): string | undefined {
  if (typeof author === 'string') return author.split(' (', 1)[0]?.trim() || undefined;
  const { name, email } = (author ?? {}) as { name?: unknown; email?: unknown };
  if (typeof name !== 'string' || name === '') return undefined;
  return typeof email === 'string' ? `${name} <${email}>` : name;
}
