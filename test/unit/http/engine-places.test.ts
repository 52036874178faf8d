// Where a Docker or a podman is looked for.
import { expect, it } from 'vitest';
import { enginePlaces } from '../../../src/http/engine-places.ts';

it('one that is named is the only one', () => {
  const path = { address: 'unix:///a/b.sock', origin: 'http://localhost', socketPath: '/a/b.sock', isNamed: true };
  expect(enginePlaces({ DOCKER_HOST: 'unix:///a/b.sock', CONTAINER_HOST: 'unix:///c' })).toEqual([path]);
  expect(enginePlaces({ CONTAINER_HOST: 'unix:///a/b.sock' })).toEqual([path]);
});

it.each([
  ['tcp://10.0.0.1:1234', 'http://10.0.0.1:1234'],
  ['tcp://host', 'http://host:2375'],
  ['http://host:80/', 'http://host:80'],
  ['tcp://[::1]:9', 'http://[::1]:9'],
])('%s', (host, origin) => {
  expect(enginePlaces({ DOCKER_HOST: host })).toEqual([{ address: host, origin, isNamed: true }]);
});

it.each([
  'ssh://user@host',
  'npipe:////./pipe/docker',
  'tcp://user:password@host',
  'tcp://a b',
  'nothing',
  'fd://',
])('not %s', (host) => {
  expect(() => enginePlaces({ DOCKER_HOST: host })).toThrow(/no Docker can be asked at/);
  expect(() => enginePlaces({ DOCKER_HOST: host })).not.toThrow(/password/);
});
