// What is said of an image beside it, in the form BuildKit gives it (its docs/attestations/attestation-storage.md): the index that holds the image holds a
// manifest too whose layers are in-toto statements, marked by annotations and by a platform that no machine has. Nobody runs it.

import { type Digest, hexOf, sha256 } from '../base/digest.ts';
import type { Blobs } from '../oci/blobs.ts';
import {
  annotations,
  type Descriptor,
  type Index,
  MAX_MANIFEST_BYTES,
  type Manifest,
  mediaTypes,
  parseManifest,
} from '../oci/descriptor.ts';

/** One manifest of statements, whole. */
export interface Attestation {
  /** As the index names it. */
  readonly descriptor: Descriptor;
  /** Its manifest, the config, the statements. */
  readonly blobs: readonly Buffer[];
}

/** What a statement says: its type is a URI. */
export interface Predicate {
  readonly type: string;
  readonly content: object;
}

/** What statements are about: `name` is a package URL, or `_`. */
export interface AttestedSubject {
  readonly name: string;
  readonly digest: Digest;
}

const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
const IN_TOTO = 'application/vnd.in-toto+json';
const ATTESTATION = 'attestation-manifest';
const NOWHERE = { architecture: 'unknown', os: 'unknown' } as const;
/** Of all that is said beside the images of one index. */
const MAX_SAID_BYTES = 256 << 20;

export function encodeStatement(subjects: readonly AttestedSubject[], { type, content }: Predicate): Buffer {
  const subject = subjects.map(({ name, digest }) => ({ name, digest: { sha256: hexOf(digest) } }));
  return Buffer.from(JSON.stringify({ _type: STATEMENT_TYPE, subject, predicateType: type, predicate: content }));
}

/** `target`: the manifest that the statements are of. */
export function makeAttestation(
  target: Digest,
  statements: readonly { readonly type: string; readonly bytes: Buffer }[],
): Attestation {
  const layers = statements.map(({ type, bytes }) => ({
    ...describe(IN_TOTO, bytes),
    annotations: { [annotations.predicateType]: type },
  }));
  const rootfs = { type: 'layers', diff_ids: layers.map(({ digest }) => digest) };
  const config = Buffer.from(JSON.stringify({ ...NOWHERE, config: {}, rootfs }));
  const document = { schemaVersion: 2, mediaType: mediaTypes.manifest, config: describe(mediaTypes.config, config), layers };
  const manifest = Buffer.from(JSON.stringify(document, null, 2));
  return {
    descriptor: {
      ...describe(mediaTypes.manifest, manifest),
      annotations: { [annotations.referenceDigest]: target, [annotations.referenceType]: ATTESTATION },
      platform: NOWHERE,
    },
    blobs: [manifest, config, ...statements.map(({ bytes }) => bytes)],
  };
}

function describe(mediaType: string, bytes: Uint8Array): Descriptor {
  return { mediaType, digest: sha256(bytes), size: bytes.length };
}

/** The manifest that a descriptor's attestations are of; undefined: it is none of these. */
export function attestedBy(descriptor: Descriptor): Digest | undefined {
  const said = descriptor.annotations ?? {};
  const digest = said[annotations.referenceType] === ATTESTATION ? said[annotations.referenceDigest] : undefined;
  return digest !== undefined && /^sha256:[0-9a-f]{64}$/.test(digest) ? (digest as Digest) : undefined;
}

/** Those of an index, in its order, that are whole. `read`: a blob; undefined: it is not there. */
export async function readAttestations(
  { manifests }: Pick<Index, 'manifests'>,
  read: (descriptor: Descriptor, limitBytes: number) => Promise<Buffer | undefined>,
): Promise<Attestation[]> {
  const found: Attestation[] = [];
  let leftBytes = MAX_SAID_BYTES;
  for (const descriptor of manifests.filter((each) => attestedBy(each) !== undefined)) {
    const bytes = await read(descriptor, MAX_MANIFEST_BYTES);
    const manifest = bytes && manifestOf(bytes);
    if (!manifest) continue;
    const parts = [manifest.config, ...manifest.layers];
    leftBytes -= parts.reduce((sum, { size }) => sum + size, bytes.length);
    if (leftBytes < 0) break;
    const blobs = [bytes];
    for (const part of parts) {
      const blob = await read(part, MAX_SAID_BYTES);
      if (blob) blobs.push(blob);
    }
    if (blobs.length === parts.length + 1) found.push({ descriptor, blobs });
  }
  return found;
}

/** Those of an index of the store. */
export function storedAttestations(blobs: Blobs, document: string): Promise<Attestation[]> {
  return readAttestations(indexOf(document), async ({ digest }, limit) => blobs.readIfWhole(digest, limit));
}

/** Every blob that attestations in an index of the store consist of, as far as it is known: a manifest that is gone hides what it names. */
export function attestationBlobs(blobs: Blobs, document: string): Descriptor[] {
  const descriptors = indexOf(document).manifests.filter((each) => attestedBy(each) !== undefined);
  return descriptors.flatMap((descriptor) => {
    const bytes = blobs.readIfWhole(descriptor.digest, MAX_MANIFEST_BYTES);
    const manifest = bytes && manifestOf(bytes);
    return manifest ? [descriptor, manifest.config, ...manifest.layers] : [descriptor];
  });
}

/** The same statements of another manifest of the same image: the first one compressed in another way. Undefined: they are no statements. */
export function retarget({ blobs }: Attestation, from: Digest, to: Digest): Attestation | undefined {
  const statements = blobs.slice(2).map((bytes) => readStatement(bytes));
  if (!statements.every((statement) => statement !== undefined)) return undefined;
  const pointed = statements.map((statement) => {
    const subject = statement.subject.map((each) =>
      each.digest?.sha256 === hexOf(from) ? { ...each, digest: { sha256: hexOf(to) } } : each,
    );
    return { type: statement.predicateType, bytes: Buffer.from(JSON.stringify({ ...statement, subject })) };
  });
  return makeAttestation(to, pointed);
}

interface Statement {
  readonly predicateType: string;
  readonly subject: readonly { readonly digest?: { readonly sha256?: string } }[];
}

function readStatement(bytes: Buffer): Statement | undefined {
  try {
    const statement = JSON.parse(bytes.toString()) as Statement;
    const isOne = typeof statement.predicateType === 'string' && statement.subject.every((each) => each instanceof Object);
    return isOne ? statement : undefined;
  } catch {
    return undefined;
  }
}

function indexOf(document: string): Index {
  const parsed = parseManifest(Buffer.from(document), 'the index');
  return parsed.kind === 'index' ? parsed : { ...parsed, kind: 'index', manifests: [] };
}

/** Of statements only: what names layers of files is no attestation, whatever its annotations say. */
function manifestOf(bytes: Buffer): Manifest | undefined {
  try {
    const parsed = parseManifest(bytes, 'the attestation');
    return parsed.kind === 'manifest' && parsed.layers.every(({ mediaType }) => mediaType === IN_TOTO) ? parsed : undefined;
  } catch {
    return undefined;
  }
}
