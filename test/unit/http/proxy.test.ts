// Proxies of the environment, as Go's programs choose them.

import { describe, expect, it } from 'vitest';
import { proxyFor } from '../../../src/http/proxy.ts';

const proxied = (url: string, env: Record<string, string>) => proxyFor(new URL(url), env);

it('is that of the scheme, in lower case before upper case, else the one for all', () => {
  const env = { http_proxy: 'http://a:1', HTTP_PROXY: 'http://b:1', HTTPS_PROXY: 'c:2', ALL_PROXY: 'http://d:3' };
  expect(proxied('http://host/', env)).toBe('http://a:1');
  expect(proxied('https://host/', env)).toBe('http://c:2');
  expect(proxied('https://host/', { all_proxy: 'http://d:3' })).toBe('http://d:3');
  expect(proxied('https://host/', { http_proxy: 'http://a:1' })).toBeUndefined();
});

it.each([
  'http://localhost:5000/',
  'http://127.0.0.1/',
  'http://127.9.9.9/',
  'http://[::1]:8/',
  'https://x.localhost/',
])('never is for %s', (url) => {
  expect(proxied(url, { http_proxy: 'http://a:1', https_proxy: 'http://a:1' })).toBeUndefined();
});

describe('no_proxy', () => {
  it.each([
    ['example.com', 'http://example.com/', false],
    ['example.com', 'http://a.example.com/', false],
    ['example.com', 'http://anexample.com/', true],
    ['.example.com', 'http://a.example.com/', false],
    ['.example.com', 'http://example.com/', true],
    ['*.example.com', 'http://a.example.com/', false],
    ['EXAMPLE.com', 'http://example.COM/', false],
    ['example.com:8080', 'http://example.com:8080/', false],
    ['example.com:8080', 'http://example.com/', true],
    ['example.com:443', 'https://example.com/', false],
    ['x, example.com', 'http://example.com/', false],
    ['*', 'http://anything/', false],
    ['10.0.0.0/8', 'http://10.1.2.3/', false],
    ['10.0.0.0/8', 'http://11.1.2.3/', true],
    ['10.0.0.0/99', 'http://10.1.2.3/', true],
    ['10.1.2.3', 'http://10.1.2.3:5000/', false],
    ['fd00::/8', 'http://[fd12::1]:5000/', false],
    ['[fd12::1]:5000', 'http://[fd12::1]:5000/', false],
    ['fd12::1', 'http://[fd12::1]/', false],
    ['2.3', 'http://10.1.2.3/', true],
    ['', 'http://example.com/', true],
  ])('%s: %s is proxied: %s', (list, url, expected) => {
    const env = { http_proxy: 'http://a:1', https_proxy: 'http://a:1', no_proxy: list };
    expect(proxied(url, env) !== undefined).toBe(expected);
  });
});
