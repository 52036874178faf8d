// What `imagetools inspect --format` can say of an image in a registry, in buildx's words (util/imagetools/printers.go).

import { TbuildError } from '../../base/errors.ts';
import type { RemoteManifest } from '../../registry/image-tools.ts';
import type { DetailsWanted, PlatformDetails } from '../../registry/remote-details.ts';

/** Undefined: no template asks for configs and statements. */
export function detailsFor(format: string): DetailsWanted | undefined {
  if (format === 'text' || format === 'json') return undefined;
  if (format.includes('{{')) {
    const hasAll = /[.$]\s*(?:-?\}\}|[|)])/.test(format);
    return { configs: hasAll || /\.Image\b/.test(format), statements: /\.(?:Provenance|SBOM)\b/.test(format) };
  }
  throw new TbuildError('usage/bad-value', `--format does not take "${format}": it is text, json, or a template`, {
    hint: "as in --format '{{json .Manifest}}'",
  });
}

/** With buildx that is the text, for who prints a manifest wants to read it. */
export const isManifestAlone = (format: string): boolean => /^\{\{\s*\.Manifest\s*\}\}$/.test(format);

/** buildx's `{{json .}}`, without configs. */
export function describeRemote({ name, descriptor, bytes, referrers }: RemoteManifest) {
  const document = JSON.parse(bytes.toString()) as object;
  return {
    name,
    manifest: { ...document, digest: descriptor.digest, size: descriptor.size },
    ...(referrers.length > 0 && { referrers }),
  };
}

export async function renderRemote(format: string, found: RemoteManifest): Promise<string> {
  const { renderTemplate } = await import('../lists/go-template.ts');
  return renderTemplate(format, valuesOf(found), { indent: 2 });
}

/** Where there are several platforms, what is of one is in a map by their names. */
function valuesOf(found: RemoteManifest): Record<string, unknown> {
  const { details, descriptor, document } = found;
  const byPlatform = (read: (one: PlatformDetails) => unknown) => {
    const [only, ...others] = details;
    if (only && others.length === 0) return read(only);
    return Object.fromEntries(details.map((one) => [one.platform, read(one)]));
  };
  const { name, manifest } = describeRemote(found);
  const values = {
    Name: name,
    Manifest: document.kind === 'index' ? manifest : descriptor,
    Image: byPlatform(({ config }) => config),
    Provenance: byPlatform(({ said }) => predicateOf(said, 'SLSA', 'https://slsa.dev/provenance/')),
    SBOM: byPlatform(({ said }) => predicateOf(said, 'SPDX', 'https://spdx.dev/Document')),
  };
  // `{{json .}}` is these three, in lower case.
  const toJSON = () => ({ name, manifest: values.Manifest, image: values.Image });
  return Object.defineProperty(values, 'toJSON', { value: toJSON, enumerable: false });
}

function predicateOf(said: PlatformDetails['said'], name: string, type: string): object {
  const found = [...said].find(([each]) => each.startsWith(type));
  return found ? { [name]: found[1] } : {};
}
