import { describe, expect, test } from 'vitest';
import {
  formatPlatform,
  hostPlatform,
  matchesPlatform,
  parsePlatform,
  platformOf,
  rankPlatform,
} from '../../../src/oci/platform.ts';

describe('parsePlatform', () => {
  // containerd/platforms: platforms_test.go.
  test.each([
    ['linux/amd64', 'linux/amd64'],
    ['linux/x86_64', 'linux/amd64'],
    ['Linux/x86_64', 'linux/amd64'],
    ['amd64', 'linux/amd64'],
    ['linux/amd64/v1', 'linux/amd64'],
    ['linux/amd64/v3', 'linux/amd64/v3'],
    ['arm64', 'linux/arm64'],
    ['aarch64', 'linux/arm64'],
    ['linux/arm64/v8', 'linux/arm64'],
    ['linux/arm64/8', 'linux/arm64'],
    ['arm', 'linux/arm/v7'],
    ['armhf', 'linux/arm/v7'],
    ['armel', 'linux/arm/v6'],
    ['linux/arm/7', 'linux/arm/v7'],
    ['linux/arm/v6', 'linux/arm/v6'],
    ['i386', 'linux/386'],
    ['linux/s390x', 'linux/s390x'],
    ['linux/riscv64', 'linux/riscv64'],
    ['macos/arm64', 'darwin/arm64'],
    ['windows/amd64', 'windows/amd64'],
    ['linux/something', 'linux/something'],
  ])('%s', (text, normal) => {
    expect(formatPlatform(parsePlatform(text))).toBe(normal);
  });

  test('an operating system alone takes the architecture of this machine', () => {
    expect(parsePlatform('linux')).toEqual(hostPlatform());
    expect(parsePlatform('windows').architecture).toBe(hostPlatform().architecture);
  });

  test.each([
    [''],
    ['/'],
    ['linux/'],
    ['linux/amd64/v1/x'],
    ['something'],
    ['linux/am d64'],
    ['linux/&'],
  ])('refuses %j', (text) => {
    expect(() => parsePlatform(text)).toThrow(expect.objectContaining({ code: 'usage/bad-platform' }));
  });
});

test.each([
  ['linux/amd64', 'linux/amd64', 0],
  ['linux/amd64', 'linux/386', 1],
  ['linux/amd64', 'linux/amd64/v2', undefined],
  ['linux/amd64/v3', 'linux/amd64/v2', 1],
  ['linux/amd64/v3', 'linux/amd64', 2],
  ['linux/arm64', 'linux/arm64/v8', 0],
  ['linux/arm64', 'linux/arm/v7', 2],
  ['linux/arm/v7', 'linux/arm/v6', 1],
  ['linux/arm/v6', 'linux/arm/v7', undefined],
  ['linux/arm/v6', 'linux/arm64', undefined],
  ['linux/amd64', 'windows/amd64', undefined],
  ['linux/amd64', 'linux/arm64', undefined],
  ['linux/riscv64', 'linux/riscv64', 0],
])('who wants %s and is offered %s', (wanted, offered, rank) => {
  expect(rankPlatform(parsePlatform(wanted), parsePlatform(offered))).toBe(rank);
  expect(matchesPlatform(parsePlatform(wanted), parsePlatform(offered))).toBe(rank !== undefined);
});

test('a variant of absurd size is a variant like any other', () => {
  const odd = { os: 'linux', architecture: 'amd64', variant: 'v99999999999' };
  expect(rankPlatform(odd, { os: 'linux', architecture: 'amd64' })).toBeTypeOf('number');
});

test('the platform of a config is taken out of it', () => {
  const config = { os: 'linux', architecture: 'arm', variant: 'v7', config: {} };
  expect(platformOf(config)).toEqual({ os: 'linux', architecture: 'arm', variant: 'v7' });
});
