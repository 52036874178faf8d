// What --attest, --provenance and --sbom ask for.
import { describe, expect, test } from 'vitest';
import { readAttests } from '../../../../src/cli/values/attest.ts';

const read = (...args: readonly string[]) => {
  const valuesOf = (name: string) => args.filter((arg) => arg.startsWith(`--${name}=`)).map((arg) => arg.slice(name.length + 3));
  return readAttests({ attest: valuesOf('attest'), provenance: valuesOf('provenance')[0], sbom: valuesOf('sbom')[0] });
};

describe('attestations', () => {
  test.each([
    [[], undefined],
    [['--provenance=false', '--sbom=0'], undefined],
    [['--provenance='], undefined],
    [['--attest=type=sbom,disabled=true'], undefined],
    [['--provenance=true'], { provenance: { mode: 'max' } }],
    [['--provenance=mode=min'], { provenance: { mode: 'min' } }],
    [['--attest=type=provenance,mode=full'], { provenance: { mode: 'max' } }],
    [
      ['--attest=TYPE=provenance,builder-id=https://ci.example/1'],
      { provenance: { mode: 'max', builderId: 'https://ci.example/1' } },
    ],
    [
      ['--provenance=mode=min,reproducible=true,inline-only=1,filename=a/b.json'],
      { provenance: { mode: 'min', isReproducible: true, isInlineOnly: true, filename: 'b.json' } },
    ],
    [['--sbom=1', '--provenance=0'], { sbom: {} }],
    [['--attest=type=sbom,filename=x.json', '--provenance=1'], { provenance: { mode: 'max' }, sbom: { filename: 'x.json' } }],
  ] as const)('%j', (args, wanted) => expect(read(...args)).toEqual(wanted));

  test.each([
    [['--attest=mode=min'], 'attestation type not specified'],
    [['--attest=type=sbm'], '--attest has no type "sbm"'],
    [['--attest=provenance'], '--attest takes key=value pairs, and field 1 has no ='],
    [['--attest=type=sbom', '--attest=type=sbom'], 'duplicate attestation field sbom'],
    [['--attest=type=sbom,disabled=true', '--sbom=true'], 'duplicate attestation field sbom'],
    [['--provenance=mode=most'], 'mode in --attest is min or max, not "most"'],
    [['--provenance=reproducible=perhaps'], 'reproducible in --attest is true or false, not "perhaps"'],
    [['--provenance=mod=min'], '--attest type=provenance does not know "mod"'],
    [['--provenance=version=v0.2'], 'provenance of the version v0.2 is not supported'],
    [['--sbom=generator=syft'], 'the SBOM generator syft is not run'],
    [['--sbom=filename=..'], 'filename in --attest is no name: ".."'],
  ])('%j: %s', (args, message) => expect(() => read(...args)).toThrow(message));
});
