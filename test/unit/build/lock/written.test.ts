import { describe, expect, it } from 'vitest';
import { EMPTY_LOCK, type Lock } from '../../../../src/build/lock/document.ts';
import { staleEntries, writtenNames } from '../../../../src/build/lock/written.ts';
import { parseDockerfile } from '../../../../src/dockerfile/parse.ts';

const written = (text: string) => writtenNames(parseDockerfile(Buffer.from(text), 'Dockerfile'));

describe('what a Dockerfile names', () => {
  it.each([
    ['FROM debian', 'docker.io/library/debian:latest', true],
    ['FROM debian:12', 'docker.io/library/debian:11', false],
    ['FROM scratch\nCOPY --from=docker.io/library/a:1 / /', 'docker.io/library/a:1', true],
    ['FROM scratch\nRUN --mount=type=bind,from=a:1,target=/a true', 'docker.io/library/a:1', true],
    ['FROM scratch\nONBUILD COPY --from=a:1 / /', 'docker.io/library/a:1', true],
    [`ARG V\nFROM debian:\${V}-slim`, 'docker.io/library/debian:12-slim', true],
    ['ARG V\nFROM docker.io/library/debian:$V', 'docker.io/library/debian:12', true],
    [`ARG V\nFROM debian:\${V}`, 'docker.io/library/alpine:3', false],
    ['ARG BASE\nFROM $BASE', 'docker.io/library/alpine:3', true],
    ['FROM "debian:12"', 'docker.io/library/debian:12', true],
    ['ARG V\nFROM "debian:$V"', 'docker.io/library/debian:12', true],
    ['FROM UPPER', 'docker.io/library/a:1', false],
  ])('%j, %s: %s', (text, name, isNamed) => {
    expect(written(text).image(name)).toBe(isNamed);
  });

  it.each([
    ['ADD https://host/a?x=1 /', 'https://host/a?x=1', true],
    ['ADD https://host/a /', 'https://host/b', false],
    ['ADD https://user:password@host/a /', 'https://host/a', true],
    ['ADD https://host/$V/a /', 'https://host/1/a', true],
    ['ADD https://$USER@host/$V /', 'https://host/1', true],
    ['ADD https://host/a.git#v1:sub /', 'https://host/a.git#v1', true],
    ['ADD --keep-git-dir=true https://host/a#v1 /', 'https://host/a#v1', true],
    ['ADD "https://host/a" /', 'https://host/a', true],
    ['ADD a /', 'https://host/a', false],
  ])('%j, %s: %s', (text, key, isNamed) => {
    expect(written(`FROM scratch\n${text}`).remote(key)).toBe(isNamed);
  });
});

it('leaves what contexts and triggers lead to', () => {
  const image = { digest: `sha256:${'0'.repeat(64)}`, platforms: new Map() } as const;
  const lock: Lock = {
    ...EMPTY_LOCK,
    images: new Map(['a:1', 'b:1', 'c:1', 'd:1'].map((name) => [`docker.io/library/${name}`, image])),
    contexts: new Map([
      ['build', 'docker.io/library/a:1'],
      ['gone', 'docker.io/library/b:1'],
    ]),
    onbuild: new Set(['docker.io/library/c:1']),
  };
  const stale = staleEntries(lock, written('FROM d:1 AS build\n'));
  expect([...stale]).toEqual(['docker.io/library/b:1']);
});
