import { describe, expect, it } from 'vitest';
import { canonicalJson, hexOf, sha256 } from '../../../src/base/digest.ts';

describe('canonicalJson', () => {
  it.each([
    [{ b: 1, a: [true, null, 'x'] }, '{"a":[true,null,"x"],"b":1}'],
    [{ a: undefined, b: { d: 1, c: 2 } }, '{"b":{"c":2,"d":1}}'],
    [[undefined], '[null]'],
    ['a"\n', '"a\\"\\n"'],
  ])('%j', (value, text) => {
    expect(canonicalJson(value)).toBe(text);
  });
});

it('digests are written with their algorithm', () => {
  expect(sha256('')).toBe('sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  expect(hexOf(sha256(''))).toHaveLength(64);
});
