// What is to be said of a build beside its images (docs/attestations.md). Types only.

export interface AttestOptions {
  readonly provenance?: ProvenanceOptions;
  readonly sbom?: SbomAttestOptions;
}

export interface SbomAttestOptions {
  /** In outputs of files; undefined: `sbom.spdx.json`. */
  readonly filename?: string;
}

export interface ProvenanceOptions {
  /** `min`: nothing of build arguments, labels, secrets, steps and the Dockerfile. */
  readonly mode: 'min' | 'max';
  /** A URI. */
  readonly builderId?: string;
  /** The build is claimed to give the same bytes again. */
  readonly isReproducible?: boolean;
  /** Beside images only, not in outputs of files. */
  readonly isInlineOnly?: boolean;
  /** In outputs of files; undefined: `provenance.json`. */
  readonly filename?: string;
}
