// Digests: what others see and what TypeScript computes is SHA-256 (Node has it natively); file contents, trees and layers are BLAKE3,
// computed by the native binary. Every digest is written `algorithm:hex`.

import { hash } from 'node:crypto';

export type Digest = `${'sha256' | 'blake3'}:${string}`;

export function sha256(data: string | Uint8Array): Digest {
  return `sha256:${hash('sha256', data, 'hex')}`;
}

export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** JSON with sorted keys and no undefined members: equal values give equal text (RFC 8785 in spirit; numbers here are integers). */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((item) => (item === undefined ? 'null' : canonicalJson(item))).join(',')}]`;
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}
