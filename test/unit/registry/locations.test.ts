// What the words of `cp` stand for.
import { expect, it } from 'vitest';
import { formatReference } from '../../../src/oci/reference.ts';
import { parseLocation } from '../../../src/registry/locations.ts';

const read = (text: string): unknown => {
  const location = parseLocation(text);
  return location.kind === 'registry' ? formatReference(location.reference) : location;
};

it.each<readonly [string, unknown]>([
  ['app', 'docker.io/library/app:latest'],
  ['docker://quay.io/a/b:1', 'quay.io/a/b:1'],
  ['localhost:5000/app', 'localhost:5000/app:latest'],
  ['oci:dir', { kind: 'folder', path: 'dir', tag: undefined }],
  ['oci:/a/b:1.2', { kind: 'folder', path: '/a/b', tag: '1.2' }],
  ['oci-archive:a.tar:x', { kind: 'archive', path: 'a.tar', tag: 'x' }],
  ['docker-archive:a.tar', { kind: 'docker-archive', path: 'a.tar', name: undefined }],
  ['docker-archive:/x/a.tar:quay.io:80/a/b:1', { kind: 'docker-archive', path: '/x/a.tar', name: 'quay.io:80/a/b:1' }],
  ['docker-daemon:app', { kind: 'engine', name: 'docker.io/library/app:latest' }],
])('%s', (text, location) => {
  expect(read(text)).toEqual(location);
});

it.each([
  'oci:',
  'oci-archive::x',
  'docker-archive:',
  'docker-daemon:',
  'dir:x',
  'containers-storage:x',
  'sif:x',
])('no place: %s', (text) => {
  expect(() => parseLocation(text)).toThrow(/names nothing|is not copied to or from/);
});
