// What registries ask for, in the forms that they really send.

import { expect, it } from 'vitest';
import { parseChallenge } from '../../../src/registry/challenge.ts';

const bearer = (realm: string, service?: string, scope?: string) => ({ scheme: 'bearer', realm, service, scope });

it.each([
  [
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull"',
    bearer('https://auth.docker.io/token', 'registry.docker.io', 'repository:library/debian:pull'),
  ],
  ['bearer realm=https://x/t, service=s', bearer('https://x/t', 's')],
  [
    'Bearer scope="repository:a:pull,push" , realm = "https://x/t?a=b,c"',
    bearer('https://x/t?a=b,c', undefined, 'repository:a:pull,push'),
  ],
  ['Bearer realm="a\\"b"', bearer('a"b')],
  ['Basic realm="Registry Realm"', { scheme: 'basic' }],
  ['BASIC', { scheme: 'basic' }],
  ['Basic realm="x", Bearer realm="https://x/t"', bearer('https://x/t')],
  ['Negotiate, Basic realm="x"', { scheme: 'basic' }],
  ['Bearer', undefined],
  ['Digest realm="x"', undefined],
  ['', undefined],
  [undefined, undefined],
])('%j', (header, challenge) => {
  expect(parseChallenge(header)).toEqual(challenge);
});

it('takes no longer for a header that is made to take long', () => {
  const started = performance.now();
  for (const header of ['"'.repeat(100_000), `Bearer realm="${'\\'.repeat(100_000)}`, 'a='.repeat(50_000), 'a '.repeat(50_000)])
    parseChallenge(header);
  expect(performance.now() - started).toBeLessThan(2000);
});
