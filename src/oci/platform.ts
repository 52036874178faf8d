// Platforms as containerd reads, normalises and prefers them (containerd/platforms: platforms.go, database.go, compare.go). Pure.

import { editDistance } from '../base/edit-distance.ts';
import { TbuildError } from '../base/errors.ts';
import type { Platform } from './config.ts';

const SYSTEMS = new Set(
  'aix android darwin dragonfly freebsd illumos ios js linux nacl netbsd openbsd plan9 solaris wasip1 windows zos'.split(' '),
);
const ARCHITECTURES = new Set(
  '386 amd64 arm arm64 armbe arm64be loong64 mips mipsle mips64 mips64le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm'.split(
    ' ',
  ),
);
const COMPONENT = /^[A-Za-z0-9_.-]+$/;

/** `linux/arm64/v8`, `arm64`, `linux`. Throws `usage/bad-platform`. */
export function parsePlatform(text: string): Platform {
  const parts = text.split('/');
  const [first = '', second, variant] = parts;
  if (parts.length > 3 || !parts.every((part) => COMPONENT.test(part)))
    throw badPlatform(text, 'write os/architecture[/variant]');
  if (second !== undefined)
    return normalizePlatform({ os: first, architecture: second, ...(variant === undefined ? {} : { variant }) });
  const alone = normalizePlatform({ os: 'linux', architecture: first });
  if (ARCHITECTURES.has(alone.architecture)) return alone;
  const os = normalizePlatform({ os: first, architecture: 'amd64' }).os;
  if (SYSTEMS.has(os)) return { ...hostPlatform(), os };
  const known = [...SYSTEMS, ...ARCHITECTURES];
  const meant = first.length > 20 ? undefined : known.find((name) => editDistance(first, name) < 2);
  throw badPlatform(text, `${first} is neither an operating system nor an architecture`, meant && `did you mean ${meant}?`);
}

function badPlatform(text: string, why: string, hint = 'for example linux/arm64'): TbuildError {
  return new TbuildError('usage/bad-platform', `${JSON.stringify(text)} is not a platform: ${why}`, {
    hint,
  });
}

export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, ...(platform.variant ? [platform.variant] : [])].join('/');
}

/** One spelling for each platform: no variant where it is the architecture's default (arm64/v8, amd64/v1); arm without one is v7. */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase() === 'macos' ? 'darwin' : platform.os.toLowerCase();
  const [architecture, variant] = normalizeArchitecture(
    platform.architecture.toLowerCase(),
    (platform.variant ?? '').toLowerCase(),
  );
  const version = platform['os.version'];
  return { os, architecture, ...(variant ? { variant } : {}), ...(version === undefined ? {} : { 'os.version': version }) };
}

function normalizeArchitecture(architecture: string, variant: string): readonly [string, string] {
  switch (architecture) {
    case 'i386':
      return ['386', ''];
    case 'amd64':
    case 'x86_64':
    case 'x86-64':
      return ['amd64', variant === 'v1' ? '' : variant];
    case 'arm64':
    case 'aarch64':
      return ['arm64', variant === '8' || variant === 'v8' ? '' : variant];
    case 'armhf':
      return ['arm', 'v7'];
    case 'armel':
      return ['arm', 'v6'];
    case 'arm':
      return ['arm', variant === '' ? 'v7' : /^[5-8]$/.test(variant) ? `v${variant}` : variant];
    default:
      return [architecture, variant];
  }
}

const NODE_ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };

/** What containers run as here. */
export function hostPlatform(): Platform {
  return normalizePlatform({ os: 'linux', architecture: NODE_ARCHITECTURES[process.arch] ?? process.arch });
}

/**
 * How well `offered` serves who wants `wanted`: 0 best, undefined not at all. As containerd's `Only`: an arm host takes what is for
 * older arm, arm64 takes arm last, amd64 takes lower levels and then 386.
 */
export function rankPlatform(wanted: Platform, offered: Platform): number | undefined {
  const want = normalizePlatform(wanted);
  const offer = normalizePlatform(offered);
  if (want.os !== offer.os) return undefined;
  const rank = accepted(want).indexOf(`${offer.architecture}/${offer.variant ?? ''}`);
  return rank < 0 ? undefined : rank;
}

export function matchesPlatform(wanted: Platform, offered: Platform): boolean {
  return rankPlatform(wanted, offered) !== undefined;
}

/** `architecture/variant`, best first. */
function accepted(want: Platform): string[] {
  const variant = want.variant ?? '';
  switch (want.architecture) {
    case 'amd64':
      return [
        ...levelsDownFrom(Number(variant.slice(1) || 1), 1).map((level) => `amd64/${level === 1 ? '' : `v${level}`}`),
        '386/',
      ];
    case 'arm64':
      return [...new Set([`arm64/${variant}`, 'arm64/']), ...levelsDownFrom(8, 5).map((level) => `arm/v${level}`)];
    case 'arm':
      return [...new Set([`arm/${variant}`, ...levelsDownFrom(Number(variant.slice(1)), 5).map((level) => `arm/v${level}`)])];
    default:
      return [`${want.architecture}/${variant}`];
  }
}

function levelsDownFrom(highest: number, lowest: number): number[] {
  const levels: number[] = [];
  for (let level = Math.min(highest, 9); level >= lowest; level--) levels.push(level);
  return levels;
}

/** The platform alone, of a config or whatever else has its members. */
export function platformOf({ os, architecture, variant }: Platform): Platform {
  return { architecture, os, ...(variant === undefined ? {} : { variant }) };
}
