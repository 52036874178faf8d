// The table follows distribution/reference's own tests (normalize_test.go, reference_test.go).
import { describe, expect, test } from 'vitest';
import { TbuildError } from '../../../src/base/errors.ts';
import {
  familiarName,
  familiarRepository,
  formatFamiliar,
  formatReference,
  normalizeName,
  parseReference,
  withDefaultTag,
} from '../../../src/oci/reference.ts';

const HEX = 'a'.repeat(64);

describe('parseReference', () => {
  // Written → in full, familiar.
  test.each([
    ['debian', 'docker.io/library/debian', 'debian'],
    ['debian:12', 'docker.io/library/debian:12', 'debian:12'],
    ['library/debian', 'docker.io/library/debian', 'debian'],
    ['docker.io/debian', 'docker.io/library/debian', 'debian'],
    ['docker.io/library/debian:12', 'docker.io/library/debian:12', 'debian:12'],
    ['index.docker.io/debian', 'docker.io/library/debian', 'debian'],
    ['index.docker.io/library/debian:12', 'docker.io/library/debian:12', 'debian:12'],
    ['dmcgowan/myapp', 'docker.io/dmcgowan/myapp', 'dmcgowan/myapp'],
    ['dmcgowan/myapp:latest', 'docker.io/dmcgowan/myapp:latest', 'dmcgowan/myapp:latest'],
    ['foo/foo/bar', 'docker.io/foo/foo/bar', 'foo/foo/bar'],
    ['library/foo/bar', 'docker.io/library/foo/bar', 'library/foo/bar'],
    ['store/foo/bar', 'docker.io/store/foo/bar', 'store/foo/bar'],
    ['quay.io/podman/stable', 'quay.io/podman/stable', 'quay.io/podman/stable'],
    ['quay.io/library/x:1', 'quay.io/library/x:1', 'quay.io/library/x:1'],
    ['localhost/app', 'localhost/app', 'localhost/app'],
    ['localhost:5000/app:dev', 'localhost:5000/app:dev', 'localhost:5000/app:dev'],
    ['127.0.0.1:8000/a/b', '127.0.0.1:8000/a/b', '127.0.0.1:8000/a/b'],
    ['[::1]:5000/app', '[::1]:5000/app', '[::1]:5000/app'],
    ['UPPER/lower', 'UPPER/lower', 'UPPER/lower'],
    [
      'test.example.com/a_b/c__d/e-f/g---h/i.j:T_a.g-1',
      'test.example.com/a_b/c__d/e-f/g---h/i.j:T_a.g-1',
      'test.example.com/a_b/c__d/e-f/g---h/i.j:T_a.g-1',
    ],
    [`debian@sha256:${HEX}`, `docker.io/library/debian@sha256:${HEX}`, `debian@sha256:${HEX}`],
    [`debian:12@sha256:${HEX}`, `docker.io/library/debian:12@sha256:${HEX}`, `debian:12@sha256:${HEX}`],
    ['a'.repeat(63), `docker.io/library/${'a'.repeat(63)}`, 'a'.repeat(63)],
    [`x:${'t'.repeat(128)}`, `docker.io/library/x:${'t'.repeat(128)}`, `x:${'t'.repeat(128)}`],
  ])('%s', (text, full, familiar) => {
    const reference = parseReference(text);
    expect(formatReference(reference)).toBe(full);
    expect(formatFamiliar(reference)).toBe(familiar);
    expect(parseReference(full)).toEqual(reference);
    expect(parseReference(familiar)).toEqual(reference);
  });

  test.each([
    [''],
    [':12'],
    ['/'],
    ['/debian'],
    ['debian/'],
    ['docker.io/'],
    ['docker.io//x'],
    ['Debian'],
    ['docker/docker/Docker'],
    ['a//b'],
    ['foo/bar/'],
    ['-foo'],
    ['foo-'],
    ['foo..bar'],
    ['foo___bar'],
    ['foo/_bar'],
    ['repo:'],
    ['repo:-tag'],
    ['repo:tag:tag'],
    [`x:${'t'.repeat(129)}`],
    ['-host.example/x'],
    ['host.example:port/x'],
    ['[::1/x.y'],
    ['debian@'],
    ['debian@sha256:abc'],
    [`debian@sha256:${'A'.repeat(64)}`],
    [`debian@sha512:${'a'.repeat(128)}`],
    [`debian@md5:${'a'.repeat(32)}`],
    [`debian@sha256:${HEX}:x`],
    [HEX],
    ['a b'],
    ['a\nb'],
    ['ünïcode'],
    ['x'.repeat(5000)],
    [`quay.io/${'a'.repeat(256)}`],
    ['a-'.repeat(500)],
  ])('refuses %.40s', (text) => {
    expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: 'image/bad-reference' }));
  });

  test('says what is wrong', () => {
    expect(messageOf(() => parseReference('Debian:12'))).toMatchInlineSnapshot(
      `"invalid image reference "Debian:12": the repository name (library/Debian) must be lowercase | write debian:12"`,
    );
    expect(messageOf(() => parseReference('debian:a:b'))).toMatchInlineSnapshot(
      `"invalid image reference "debian:a:b": "a:b" is not a tag"`,
    );
    expect(messageOf(() => parseReference(HEX))).toMatchInlineSnapshot(
      `"invalid image reference "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": a name cannot be 64 hexadecimal digits: that is an image ID"`,
    );
    expect(messageOf(() => parseReference(`x@sha512:${'a'.repeat(128)}`))).toMatchInlineSnapshot(
      `"invalid image reference "x@sha512:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…": the digest sha512:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa is not a sha256 of 64 lowercase hexadecimal digits"`,
    );
  });
});

test('a missing tag means latest, a digest needs none', () => {
  expect(withDefaultTag(parseReference('app')).tag).toBe('latest');
  expect(withDefaultTag(parseReference('app:1')).tag).toBe('1');
  expect(withDefaultTag(parseReference(`app@sha256:${HEX}`)).tag).toBeUndefined();
});

test('names of the store: in full, a tag or a digest, never both', () => {
  expect(normalizeName('app')).toBe('docker.io/library/app:latest');
  expect(normalizeName(`app:1@sha256:${HEX}`)).toBe(`docker.io/library/app@sha256:${HEX}`);
  expect(familiarName('docker.io/library/app:latest')).toBe('app:latest');
  expect(familiarRepository(parseReference('docker.io/library/app:latest'))).toBe('app');
});

function messageOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof TbuildError) return [error.message, error.hint].filter(Boolean).join(' | ');
    throw error;
  }
  throw new Error('it did not throw');
}
