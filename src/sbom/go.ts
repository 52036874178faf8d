// Go modules of a binary: the build information that the linker leaves in it (Go: debug/buildinfo). Since Go 1.18 the texts stand behind the header;
// before, the header has the addresses of two strings.

import type { Elf, Part } from './elf.ts';
import type { Findings } from './package.ts';
import { packageUrl } from './purl.ts';

const MAGIC = Buffer.from('\xff Go buildinf:', 'latin1');
const HEADER_BYTES = 32;
const ALIGNMENT = 16;
/** Without a section, how far the header is looked for (Go: buildInfoSize). */
const SEARCH_BYTES = 64 << 10;
const MAX_TEXT_BYTES = 4 << 20;
/** 16 bytes on either side, so that the linker's text can be found in a process's memory, too. */
const SENTINEL_BYTES = 16;

export function findGoModules(elf: Elf, path: string, findings: Findings): void {
  const found = readBuildInfo(elf);
  if (found === undefined) return;
  const [version, modules] = found;
  const release = /^go(\d[\w.]*)/.exec(version)?.[1];
  if (release !== undefined) addModule('stdlib', release, path, findings);
  for (const { name, version: own } of readModules(modules)) addModule(name, own, path, findings);
}

function addModule(name: string, version: string, path: string, findings: Findings): void {
  const slash = name.lastIndexOf('/');
  // Built from a working copy, a main module has no version that anyone could look up.
  const known = version.startsWith('(') ? '' : version;
  const parts = { namespace: name.slice(0, Math.max(0, slash)).toLowerCase(), name: name.slice(slash + 1).toLowerCase() };
  findings.add({ purl: packageUrl('golang', { ...parts, version: known }), name, version: known }, path);
}

interface Module {
  readonly name: string;
  readonly version: string;
}

/** Lines of fields: `mod` and `dep` with path, version and sum; `=>` replaces the one before it. Built without modules, only the program's `path` is known. */
function readModules(text: string): Module[] {
  const modules: Module[] = [];
  let program: Module | undefined;
  for (const line of text.split('\n')) {
    const [kind, name, version = ''] = line.split('\t');
    if (name === undefined || name === '') continue;
    if (kind === 'path') program = { name, version };
    if (kind === '=>') modules.pop();
    if (kind === 'mod' || kind === 'dep' || kind === '=>') modules.push({ name, version });
  }
  return modules.length === 0 && program ? [program] : modules;
}

/** Go's version, and the modules as text. */
function readBuildInfo(elf: Elf): readonly [string, string] | undefined {
  const section = elf.section('.go.buildinfo');
  const part = section ?? (elf.data && { ...elf.data, size: Math.min(elf.data.size, SEARCH_BYTES) });
  const at = part && findHeader(elf, part);
  if (part === undefined || at === undefined) return undefined;
  const header = elf.read(part, at, HEADER_BYTES);
  if (header.length < HEADER_BYTES) return undefined;
  const pointerSize = header[14] as number;
  const flags = header[15] as number;
  const [version, modules] =
    (flags & 2) !== 0 ? inlineTexts(elf, part, at + HEADER_BYTES) : pointedTexts(elf, header, pointerSize, (flags & 1) !== 0);
  if (version === undefined || modules === undefined) return undefined;
  return [version.toString(), withoutSentinels(modules).toString()];
}

function findHeader(elf: Elf, part: Part): number | undefined {
  const head = elf.read(part, 0, SEARCH_BYTES);
  for (let at = head.indexOf(MAGIC); at >= 0; at = head.indexOf(MAGIC, at + 1)) if (at % ALIGNMENT === 0) return at;
  return undefined;
}

type Texts = readonly [Buffer | undefined, Buffer | undefined];

/** Each with its length before it, as Go's varint. */
function inlineTexts(elf: Elf, part: Part, start: number): Texts {
  const version = inlineText(elf, part, start);
  return [version?.text, version && inlineText(elf, part, version.end)?.text];
}

function inlineText(elf: Elf, part: Part, start: number): { readonly text: Buffer; readonly end: number } | undefined {
  const head = elf.read(part, start, 5);
  let length = 0;
  for (const [position, byte] of head.entries()) {
    length += (byte & 0x7f) * 2 ** (7 * position);
    if (byte >= 0x80) continue;
    const text = length <= MAX_TEXT_BYTES ? elf.read(part, start + position + 1, length) : undefined;
    return text?.length === length ? { text, end: start + position + 1 + length } : undefined;
  }
  return undefined;
}

function pointedTexts(elf: Elf, header: Buffer, pointerSize: number, isBigEndian: boolean): Texts {
  if (pointerSize !== 4 && pointerSize !== 8) return [undefined, undefined];
  const pointer = (bytes: Buffer, at: number): number => {
    if (pointerSize === 4) return isBigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at);
    return Number(isBigEndian ? bytes.readBigUInt64BE(at) : bytes.readBigUInt64LE(at));
  };
  // A Go string is the address of its bytes, and how many they are.
  const text = (at: number): Buffer | undefined => {
    const words = elf.atAddress(pointer(header, at), 2 * pointerSize);
    const length = words && pointer(words, pointerSize);
    return words && length !== undefined && length <= MAX_TEXT_BYTES ? elf.atAddress(pointer(words, 0), length) : undefined;
  };
  return [text(16), text(16 + pointerSize)];
}

function withoutSentinels(text: Buffer): Buffer {
  const end = text.length - SENTINEL_BYTES;
  return text.length > 2 * SENTINEL_BYTES && text[end - 1] === 0x0a ? text.subarray(SENTINEL_BYTES, end) : Buffer.alloc(0);
}
