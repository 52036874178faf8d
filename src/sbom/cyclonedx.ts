// The inventory of an image as a CycloneDX 1.6 document in JSON; as in spdx.ts, equal images give equal bytes.

import { sha256 } from '../base/digest.ts';
import type { Inventory } from './find-packages.ts';
import { Licenses } from './licenses.ts';
import type { FoundPackage } from './package.ts';
import type { Subject, Tool } from './spdx.ts';

export function cycloneDxDocument(subject: Subject, { distribution, packages, notes }: Inventory, tool: Tool): object {
  const { name, identity, createdAt } = subject;
  const system = distribution && {
    type: 'operating-system',
    'bom-ref': `os:${distribution.id}`,
    name: distribution.id,
    ...(distribution.version !== undefined && { version: distribution.version }),
    description: distribution.name,
  };
  const content = {
    metadata: {
      timestamp: new Date(createdAt * 1000).toISOString().replace(/\.\d+Z$/, 'Z'),
      tools: { components: [{ type: 'application', name: tool }] },
      component: { type: 'container', 'bom-ref': identity?.purl ?? name, name, ...identity },
      ...(notes.length > 0 && { properties: notes.map((note) => ({ name: 'tbuild:note', value: note })) }),
    },
    components: [...(system ? [system] : []), ...packages.map(component)],
  };
  return { bomFormat: 'CycloneDX', specVersion: '1.6', serialNumber: `urn:uuid:${uuidOf(content)}`, version: 1, ...content };
}

function component({ purl, name, version, license, supplier, homepage, summary, foundIn }: FoundPackage) {
  return {
    type: 'library',
    'bom-ref': purl,
    name,
    ...(version !== '' && { version }),
    purl,
    ...(supplier !== undefined && { supplier: { name: supplier } }),
    ...(summary !== undefined && { description: summary }),
    ...licenseOf(license),
    ...(homepage !== undefined && { externalReferences: [{ type: 'website', url: homepage }] }),
    properties: [{ name: 'tbuild:foundIn', value: foundIn }],
  };
}

/** Names that SPDX does not list are names here, not expressions. */
function licenseOf(written: string | undefined) {
  const licenses = new Licenses();
  const expression = licenses.expressionOf(written);
  if (expression === 'NOASSERTION') return {};
  return { licenses: licenses.own().length > 0 ? [{ license: { name: written } }] : [{ expression }] };
}

/** Version 8 of RFC 9562: its bits are its maker's to choose, here the content's digest. */
function uuidOf(content: object): string {
  const hex = sha256(JSON.stringify(content)).slice(7);
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 3) | 8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
