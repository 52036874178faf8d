// Rust crates of a binary that cargo auditable built: the section .dep-v0 has zlib-compressed JSON (rust-secure-code/cargo-auditable: PARSING.md).

import { inflateSync } from 'node:zlib';
import type { Elf } from './elf.ts';
import type { Findings } from './package.ts';
import { packageUrl } from './purl.ts';

const MAX_BYTES = 8 << 20;

export function findCrates(elf: Elf, path: string, findings: Findings): void {
  const section = elf.section('.dep-v0');
  if (section === undefined) return;
  const crates = section.size <= MAX_BYTES ? parse(elf.read(section, 0, section.size)) : undefined;
  if (crates === undefined) findings.note(`what ${path} says of its crates cannot be read`);
  for (const crate of crates ?? []) {
    const { name, version, kind } = (crate ?? {}) as { name?: unknown; version?: unknown; kind?: unknown };
    // What only the build needed is not in the binary.
    if (typeof name !== 'string' || typeof version !== 'string' || kind === 'build') continue;
    findings.add({ purl: packageUrl('cargo', { name, version }), name, version }, path);
  }
}

function parse(compressed: Buffer): readonly unknown[] | undefined {
  try {
    const document = JSON.parse(inflateSync(compressed, { maxOutputLength: MAX_BYTES }).toString()) as { packages?: unknown };
    return Array.isArray(document?.packages) ? document.packages : undefined;
  } catch {
    return undefined;
  }
}
