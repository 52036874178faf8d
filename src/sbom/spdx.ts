// The inventory of an image as an SPDX 2.3 document in JSON. Equal images give equal bytes: nothing in it is of now or of here, and its namespace is made
// of its content. No files are listed: what packages hold is theirs to say.

import { sha256 } from '../base/digest.ts';
import type { Inventory } from './find-packages.ts';
import { Licenses } from './licenses.ts';
import type { FoundPackage } from './package.ts';

/** What is described: an image, a stage of a build, a build context. */
export interface Subject {
  readonly name: string;
  /** By what others know it, if it is an image. */
  readonly identity?: Identity;
  readonly isSource?: true;
  /** Seconds since the epoch: when the document is said to be of. */
  readonly createdAt: number;
}

export interface Identity {
  /** The digest of its manifest, else its ID. */
  readonly version: string;
  readonly purl: string;
}

/** What wrote it, as in `tbuild-1.0`. */
export type Tool = string;

const NOT_SAID = 'NOASSERTION';
const IMAGE = 'SPDXRef-Image';
const SYSTEM = 'SPDXRef-OperatingSystem';

export function spdxDocument(subject: Subject, inventory: Inventory, tool: Tool): object {
  const licenses = new Licenses();
  const packages = [
    subjectPackage(subject),
    ...systemPackage(inventory),
    ...inventory.packages.map((each) => spdxPackage(each, licenses)),
  ];
  const own = licenses.own();
  const { notes } = inventory;
  const contained = packages.slice(1).map(({ SPDXID }) => relationship(IMAGE, 'CONTAINS', SPDXID));
  const content = {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name: subject.name,
    creationInfo: {
      created: new Date(subject.createdAt * 1000).toISOString().replace(/\.\d+Z$/, 'Z'),
      creators: [`Tool: ${tool}`],
    },
    ...(notes.length > 0 && { comment: notes.join('\n') }),
    packages,
    ...(own.length > 0 && { hasExtractedLicensingInfos: own }),
    relationships: [relationship('SPDXRef-DOCUMENT', 'DESCRIBES', IMAGE), ...contained],
  };
  const { spdxVersion, dataLicense, SPDXID, name, ...rest } = content;
  const namespace = `https://spdx.org/spdxdocs/${slugOf(name)}-${sha256(JSON.stringify(content)).slice(7)}`;
  return { spdxVersion, dataLicense, SPDXID, name, documentNamespace: namespace, ...rest };
}

const relationship = (spdxElementId: string, relationshipType: string, relatedSpdxElement: string) => ({
  spdxElementId,
  relationshipType,
  relatedSpdxElement,
});

const unsaid = { downloadLocation: NOT_SAID, filesAnalyzed: false, licenseConcluded: NOT_SAID, copyrightText: NOT_SAID } as const;

function subjectPackage({ name, identity, isSource }: Subject) {
  const checksumValue = identity?.version.slice(identity.version.indexOf(':') + 1);
  return {
    SPDXID: IMAGE,
    name,
    ...(identity && { versionInfo: identity.version }),
    ...unsaid,
    licenseDeclared: NOT_SAID,
    ...(identity && { checksums: [{ algorithm: 'SHA256', checksumValue }] }),
    primaryPackagePurpose: isSource ? 'SOURCE' : 'CONTAINER',
    ...(identity && { externalRefs: [purlReference(identity.purl)] }),
  };
}

function systemPackage({ distribution }: Inventory) {
  if (!distribution) return [];
  const { name, version } = distribution;
  return [
    {
      SPDXID: SYSTEM,
      name,
      ...(version !== undefined && { versionInfo: version }),
      ...unsaid,
      licenseDeclared: NOT_SAID,
      primaryPackagePurpose: 'OPERATING-SYSTEM',
    },
  ];
}

function spdxPackage(found: FoundPackage, licenses: Licenses) {
  const { purl, name, version, license, supplier, homepage, summary, foundIn, alsoFound } = found;
  const more = alsoFound === 0 ? '' : ` and ${alsoFound} more`;
  return {
    SPDXID: `SPDXRef-${slugOf(purl.slice(4, purl.indexOf('/')))}-${slugOf(name)}-${sha256(purl).slice(7, 23)}`,
    name,
    ...(version !== '' && { versionInfo: version }),
    ...(supplier !== undefined && { supplier: agentOf(supplier) }),
    ...unsaid,
    ...(homepage !== undefined && { homepage }),
    sourceInfo: `found in ${foundIn}${more}`,
    licenseDeclared: licenses.expressionOf(license),
    ...(summary !== undefined && { summary }),
    externalRefs: [purlReference(purl)],
  };
}

const purlReference = (purl: string) => ({ referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: purl });

/** `Person: Name (address)`. Databases do not say whether someone is one or many: what teams call themselves does. */
function agentOf(supplier: string): string {
  const [, name = '', address] = /^\s*"?([^<"]*)"?\s*(?:<([^<>]*)>)?/.exec(supplier) ?? [];
  const isMany =
    /\b(?:team|maintainers?|developers|group|project|foundation|inc|llc|ltd|gmbh|linux|suse|red hat|contributors)\b/i.test(name);
  const shown = [name.trim() || (address ?? ''), ...(name.trim() && address ? [`(${address})`] : [])].join(' ');
  return shown === '' ? NOT_SAID : `${isMany ? 'Organization' : 'Person'}: ${shown}`;
}

/** What an SPDX ID may be made of. */
const slugOf = (text: string): string => text.replaceAll(/[^A-Za-z0-9.]+/g, '-').slice(0, 60);
