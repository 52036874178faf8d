// `--attest`, `--provenance` and `--sbom`, read as buildx reads them (util/buildflags/attests.go) and BuildKit takes them
// (frontend/attestations; llbsolver/proc/provenance.go). Loaded only when one is given.

import { basename } from 'node:path';
import { TbuildError } from '../../base/errors.ts';
import { parseBool } from '../../base/parse-bool.ts';
import type { AttestOptions, ProvenanceOptions } from '../../build/attest/options.ts';
import { nearest } from '../nearest.ts';
import { checkKeys, parseKeyValues } from './key.ts';

interface AttestFlags {
  readonly attest: readonly string[];
  readonly provenance: string | undefined;
  readonly sbom: string | undefined;
}

const types = ['provenance', 'sbom'] as const;

/** Undefined: nothing is wanted. */
export function readAttests(flags: AttestFlags): AttestOptions | undefined {
  const short = types.flatMap((type) => shorthand(type, flags[type]));
  const given = [...flags.attest.filter((text) => text !== ''), ...short].map((text) => parseKeyValues('--attest', text));
  const wanted = new Map<string, ReadonlyMap<string, string>>();
  for (const values of given) {
    const type = typeOf(values);
    if (wanted.has(type)) throw new TbuildError('usage/conflict', `duplicate attestation field ${type}`);
    wanted.set(type, values);
  }
  const [provenance, sbom] = types.map((type) => {
    const values = wanted.get(type);
    return values && !readBoolean(values, 'disabled') ? values : undefined;
  });
  if (!provenance && !sbom) return undefined;
  return { ...(provenance && { provenance: readProvenance(provenance) }), ...(sbom && { sbom: readSbom(sbom) }) };
}

/** `--provenance=true`, or what would stand behind the type. */
function shorthand(type: string, text: string | undefined): string[] {
  if (text === undefined || text === '') return [];
  const isOn = parseBool(text);
  return [`type=${type},${isOn === undefined ? text : `disabled=${!isOn}`}`];
}

function typeOf(values: ReadonlyMap<string, string>): string {
  const type = values.get('type');
  if (!type)
    throw new TbuildError('usage/bad-value', 'attestation type not specified', { hint: 'as in type=provenance,mode=min' });
  if ((types as readonly string[]).includes(type)) return type;
  const meant = nearest(type, types);
  throw new TbuildError('usage/bad-value', `--attest has no type "${type}"`, {
    hint: meant ? `did you mean type=${meant}?` : 'it has provenance and sbom',
  });
}

function readProvenance(values: ReadonlyMap<string, string>): ProvenanceOptions {
  checkKeys('--attest type=provenance', values, [
    'type',
    'disabled',
    'mode',
    'builder-id',
    'filename',
    'reproducible',
    'inline-only',
    'version',
  ]);
  const mode = values.get('mode') ?? 'max';
  if (mode !== 'min' && mode !== 'max' && mode !== 'full')
    throw new TbuildError('usage/bad-value', `mode in --attest is min or max, not "${mode}"`);
  const version = values.get('version') ?? 'v1';
  if (version !== 'v1') {
    const hint = 'leave out version=: provenance is in the form of SLSA v1';
    throw new TbuildError('unsupported/attestations', `provenance of the version ${version} is not supported`, { hint });
  }
  const builderId = values.get('builder-id');
  return {
    mode: mode === 'min' ? 'min' : 'max',
    ...(builderId && { builderId }),
    ...(readBoolean(values, 'reproducible') && { isReproducible: true }),
    ...(readBoolean(values, 'inline-only') && { isInlineOnly: true }),
    ...filenameOf(values),
  };
}

function readSbom(values: ReadonlyMap<string, string>): NonNullable<AttestOptions['sbom']> {
  if (values.has('generator')) {
    throw new TbuildError('unsupported/attestations', `the SBOM generator ${values.get('generator')} is not run`, {
      hint: 'leave out generator=: tbuild reads the packages of the image itself',
    });
  }
  checkKeys('--attest type=sbom', values, ['type', 'disabled', 'filename']);
  return filenameOf(values);
}

/** The last name, as BuildKit takes it. */
function filenameOf(values: ReadonlyMap<string, string>): { filename?: string } {
  const filename = basename(values.get('filename') ?? '');
  if (filename === '.' || filename === '..')
    throw new TbuildError('usage/bad-value', `filename in --attest is no name: "${filename}"`);
  return filename === '' ? {} : { filename };
}

function readBoolean(values: ReadonlyMap<string, string>, key: string): boolean {
  const text = values.get(key);
  if (text === undefined) return false;
  const value = parseBool(text);
  if (value !== undefined) return value;
  throw new TbuildError('usage/bad-value', `${key} in --attest is true or false, not "${text}"`);
}
