// What is wrong with an SPDX 2.3 document in JSON, by the specification and its schema: members, their forms, IDs that mean something. Written from
// the specification, not from what writes the documents.

const noAssertion = 'NOASSERTION';
const idForm = /^SPDXRef-[A-Za-z0-9.-]+$/;
const agentForm = /^(?:(?:Person|Organization): \S.*|NOASSERTION)$/;
const purposes =
  'APPLICATION FRAMEWORK LIBRARY CONTAINER OPERATING-SYSTEM DEVICE FIRMWARE SOURCE ARCHIVE FILE INSTALL OTHER'.split(' ');

type Json = Readonly<Record<string, unknown>>;
type Check = (value: unknown) => boolean;

const text: Check = (value) => typeof value === 'string' && value !== '';
const matching =
  (form: RegExp): Check =>
  (value) =>
    typeof value === 'string' && form.test(value);

/** Required first, then optional. */
const documentMembers: readonly [Readonly<Record<string, Check>>, Readonly<Record<string, Check>>] = [
  {
    spdxVersion: (value) => value === 'SPDX-2.3',
    dataLicense: (value) => value === 'CC0-1.0',
    SPDXID: (value) => value === 'SPDXRef-DOCUMENT',
    name: text,
    documentNamespace: matching(/^https:\/\/[^#\s]+$/),
    creationInfo: (value) => isCreation(value as Json),
  },
  { comment: text, packages: Array.isArray, relationships: Array.isArray, hasExtractedLicensingInfos: Array.isArray },
];

const packageMembers: typeof documentMembers = [
  { SPDXID: matching(idForm), name: text, downloadLocation: text },
  {
    versionInfo: text,
    supplier: matching(agentForm),
    filesAnalyzed: (value) => value === false,
    homepage: matching(/^https?:\/\/\S+$/),
    sourceInfo: text,
    licenseConcluded: text,
    licenseDeclared: text,
    copyrightText: text,
    summary: text,
    checksums: (value) =>
      (value as Json[]).every((each) => each.algorithm === 'SHA256' && /^[0-9a-f]{64}$/.test(String(each.checksumValue))),
    primaryPackagePurpose: (value) => purposes.includes(String(value)),
    externalRefs: (value) => (value as Json[]).every(isPurlReference),
  },
];

const isCreation = ({ created, creators, ...rest }: Json): boolean =>
  Object.keys(rest).length === 0 &&
  matching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)(created) &&
  Array.isArray(creators) &&
  creators.length > 0 &&
  creators.every(matching(/^(?:Tool|Person|Organization): \S/));

const isPurlReference = ({ referenceCategory, referenceType, referenceLocator, ...rest }: Json): boolean =>
  Object.keys(rest).length === 0 &&
  referenceCategory === 'PACKAGE-MANAGER' &&
  referenceType === 'purl' &&
  matching(/^pkg:[a-z]+\/[^\s?#]+(?:\?[a-z_]+=[^\s&]+(?:&[a-z_]+=[^\s&]+)*)?$/)(referenceLocator);

/** Empty: nothing is wrong. */
export function spdxProblems(document: unknown): string[] {
  const {
    packages = [],
    relationships = [],
    hasExtractedLicensingInfos: own = [],
  } = document as Readonly<Record<string, Json[]>>;
  const ids = ['SPDXRef-DOCUMENT', ...packages.map(({ SPDXID }) => SPDXID)];
  const licenses = new Set(own.map(({ licenseId }) => licenseId));
  return [
    ...memberProblems('the document', document as Json, documentMembers),
    ...packages.flatMap((each) => memberProblems(String(each.SPDXID), each, packageMembers)),
    ...(new Set(ids).size === ids.length ? [] : ['two elements have the same SPDXID']),
    ...relationships.flatMap(({ spdxElementId, relationshipType, relatedSpdxElement }) =>
      ids.includes(spdxElementId) &&
      ids.includes(relatedSpdxElement) &&
      ['DESCRIBES', 'CONTAINS'].includes(String(relationshipType))
        ? []
        : [`${spdxElementId} ${relationshipType} ${relatedSpdxElement} leads nowhere`],
    ),
    ...own.flatMap(({ licenseId, extractedText }) =>
      matching(/^LicenseRef-[A-Za-z0-9.-]+$/)(licenseId) && text(extractedText)
        ? []
        : [`${licenseId} is no licence of a document`],
    ),
    ...packages.flatMap(({ licenseDeclared }) => expressionProblems(String(licenseDeclared), licenses)),
  ];
}

function memberProblems(where: string, value: Json, [required, optional]: typeof documentMembers): string[] {
  const missing = Object.keys(required).filter((name) => !Object.hasOwn(value, name));
  const checks = { ...required, ...optional };
  const wrong = Object.entries(value).filter(([name, member]) => !checks[name]?.(member));
  return [
    ...missing.map((name) => `${where} lacks ${name}`),
    ...wrong.map(([name, member]) => `${where}, ${name}: ${JSON.stringify(member)?.slice(0, 200)}`),
  ];
}

function expressionProblems(expression: string, own: ReadonlySet<unknown>): string[] {
  if (expression === noAssertion) return [];
  const names = expression.split(/[\s()]+|\b(?:AND|OR|WITH)\b/).filter((name) => name !== '');
  return names
    .filter((name) => !/^[A-Za-z0-9.+-]+$/.test(name) || (name.startsWith('LicenseRef-') && !own.has(name)))
    .map((name) => `${expression}: ${name} is not defined`);
}
