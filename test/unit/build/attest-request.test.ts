// What provenance tells of a build's options, and what of them is nobody's business.
import { expect, test } from 'vitest';
import { argsOf, dockerfileName, type ToldOptions } from '../../../src/build/attest/request.ts';

const options: ToldOptions = {
  context: '/home/me/app',
  buildArgs: {},
  labels: {},
  network: 'default',
  noCache: true,
  signal: AbortSignal.abort(),
};

test('options go by the names that BuildKit has for them', () => {
  const more = { target: 'app', network: 'none', extraHosts: [{ name: 'h', address: '10.0.0.1' }] } as const;
  expect(argsOf({ ...options, ...more, labels: { l: 'v' }, buildArgs: { B: '2', A: '1' } })).toEqual({
    'add-hosts': 'h=10.0.0.1',
    'build-arg:A': '1',
    'build-arg:B': '2',
    'force-network-mode': 'none',
    'label:l': 'v',
    target: 'app',
  });
});

test('places on this machine, credentials and the cache are not told', () => {
  const buildContexts = {
    lib: '/home/me/lib',
    layout: 'oci-layout:///home/me/l:tag',
    base: 'docker-image://debian:12',
    far: 'https://me:token@host.test/r.git?sig=1',
  };
  expect(argsOf({ ...options, buildContexts })).toEqual({
    'context:base': 'docker-image://debian:12',
    'context:far': 'https://host.test/r.git',
    'context:layout': 'local:layout',
    'context:lib': 'local:lib',
  });
  expect(
    [undefined, '-', '/home/me/x/My.Dockerfile', 'https://u:p@host.test/d/Dockerfile?x'].map((dockerfile) =>
      dockerfileName({ ...(dockerfile && { dockerfile }) }),
    ),
  ).toEqual(['Dockerfile', 'Dockerfile', 'My.Dockerfile', 'Dockerfile']);
});
