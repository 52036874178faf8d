// AWS's own examples: "Authenticating Requests: Using the Authorization Header", "Signature Calculations … Transferring Payload in a Single Chunk".
import { expect, test } from 'vitest';
import { sha256 } from '../../../../src/base/digest.ts';
import { encodeKey, signRequest } from '../../../../src/cache/remote/sigv4.ts';

const credentials = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' };
const nothing = sha256('').slice('sha256:'.length);

test.each([
  ['GET', '/test.txt', { range: 'bytes=0-9' }, nothing, 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41'],
  [
    'PUT',
    `/${encodeKey('test$file.text')}`,
    { date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
    sha256('Welcome to Amazon S3.').slice('sha256:'.length),
    '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
  ],
  ['GET', '/?lifecycle=', {}, nothing, 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543'],
  ['GET', '/?max-keys=2&prefix=J', {}, nothing, '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7'],
])('%s %s', (method, path, headers, payloadHash, signature) => {
  const url = new URL(path, 'https://examplebucket.s3.amazonaws.com');
  const now = new Date('2013-05-24T00:00:00Z');
  const signed = signRequest({ method, url, headers, payloadHash, region: 'us-east-1', credentials, now });
  expect(signed.authorization).toContain('Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request');
  expect(signed.authorization?.split('Signature=')[1]).toBe(signature);
});

test('names are encoded as S3 has it', () => {
  expect(encodeKey("a b/c+d/ü'(~)")).toBe('a%20b/c%2Bd/%C3%BC%27%28~%29');
});
