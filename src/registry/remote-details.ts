// What an image in a registry is, for who asks for more than its manifest: the configs of its platforms, and what is said of them. Nothing is stored.

import { attestedBy } from '../images/attestations.ts';
import { isImage } from '../images/choose-manifests.ts';
import { type Descriptor, type Index, MAX_CONFIG_BYTES, type Manifest, parseManifest } from '../oci/descriptor.ts';
import { parseJson } from '../oci/document.ts';
import { formatPlatform } from '../oci/platform.ts';
import { type DocumentSource, fetchAttestations } from './statements.ts';

export interface PlatformDetails {
  /** Undefined: what is there is one image, which says of no other. */
  readonly platform: string | undefined;
  /** Its config, as it is. */
  readonly config: unknown;
  /** By the type of the predicate. */
  readonly said: ReadonlyMap<string, unknown>;
}

export interface DetailsWanted {
  readonly configs: boolean;
  /** With their configs. */
  readonly statements: boolean;
}

/** An index with more than that has the first of them. */
const MAX_PLATFORMS = 100;

export async function fetchDetails(
  source: DocumentSource,
  document: Manifest | Index,
  { configs, statements }: DetailsWanted,
): Promise<PlatformDetails[]> {
  if (!configs && !statements) return [];
  if (document.kind === 'manifest') return [{ platform: undefined, config: await configOf(source, document), said: new Map() }];
  const attestations = statements ? await fetchAttestations(source, document) : [];
  const details: PlatformDetails[] = [];
  for (const descriptor of document.manifests.filter(isImage).slice(0, MAX_PLATFORMS)) {
    const { bytes } = await source.fetchManifest(descriptor.digest);
    const manifest = parseManifest(bytes, `the manifest ${descriptor.digest}`);
    if (manifest.kind !== 'manifest') continue;
    const own = attestations.filter((each) => attestedBy(each.descriptor) === descriptor.digest);
    details.push({
      platform: platformName(descriptor),
      config: await configOf(source, manifest),
      said: new Map(own.flatMap(({ blobs }) => blobs.slice(2).map(readPredicate))),
    });
  }
  return details;
}

const platformName = ({ platform }: Descriptor): string => (platform ? formatPlatform(platform) : 'unknown');

async function configOf(source: DocumentSource, { config }: Manifest): Promise<unknown> {
  return parseJson(await source.fetchBlob(config, MAX_CONFIG_BYTES), `the config ${config.digest}`);
}

function readPredicate(bytes: Buffer): [string, unknown] {
  const { predicateType, predicate } = parseJson(bytes, 'the statement') as { predicateType?: unknown; predicate?: unknown };
  return [String(predicateType), predicate];
}
