// Which program is to read the file: `# syntax=` and its other spellings, or the build argument BUILDKIT_SYNTAX (BuildKit: parser/directives.go,
// DetectSyntax). docker/dockerfile is what tbuild is; images of other frontends are not run, so they are an error here, before the file is read as
// a Dockerfile, which it may not be.

import { type Location, TbuildError } from '../base/errors.ts';
import { decodeText } from './lines.ts';

/** What BuildKit calls the reader that it has itself. */
const builtIn = 'dockerfile.v0';
const dockerfileImages =
  /^(?:(?:(?:index|registry-1)\.)?docker\.io\/)?docker\/dockerfile(?:-upstream)?(?::\w[\w.-]*)?(?:@[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-f]+)?$/i;

/** `override`: BUILDKIT_SYNTAX, which counts instead of what the file says. Throws `unsupported/frontend`. */
export function checkFrontend(source: string | Uint8Array, file: string, override: string | undefined): void {
  const given = override?.trim();
  if (given) {
    const [reference = ''] = given.split(/\s/, 1);
    if (isDockerfile(reference)) return;
    throw unsupported(`the frontend ${reference}, which the build argument BUILDKIT_SYNTAX asks for, is not supported`);
  }
  const text = decodeText(source);
  const found = detectSyntax(text);
  if (found === undefined || isDockerfile(found.reference)) return;
  const { line, column, reference } = found;
  const range = { startLine: line, startColumn: column, endLine: line, endColumn: column + reference.length };
  throw unsupported(`the frontend ${reference}, which the file asks for, is not supported`, { file, text, range });
}

const isDockerfile = (reference: string): boolean => reference === builtIn || dockerfileImages.test(reference);

function unsupported(message: string, where?: Location): TbuildError {
  return new TbuildError('unsupported/frontend', message, {
    where,
    hint: `tbuild reads docker/dockerfile itself and runs no other frontend; --build-arg BUILDKIT_SYNTAX=${builtIn} reads the file as a Dockerfile`,
  });
}

interface Syntax {
  readonly reference: string;
  readonly line: number;
  readonly column: number;
}

/** A first line `#!…` is skipped; then directives with `#`, with `//`, or a JSON object. */
function detectSyntax(text: string): Syntax | undefined {
  const start = /^#![^\n]*\n?/.exec(text)?.[0].length ?? 0;
  const rest = text.slice(start);
  const firstLine = start === 0 ? 1 : 2;
  return readDirective(rest, '#', firstLine) ?? readDirective(rest, '//', firstLine) ?? readJson(rest, firstLine);
}

/** Directives end at the first line that is none, or that repeats one. */
function readDirective(text: string, mark: '#' | '//', firstLine: number): Syntax | undefined {
  const seen = new Set<string>();
  for (let start = 0, number = firstLine; start < text.length; number++) {
    const end = text.indexOf('\n', start);
    const line = text.slice(start, end < 0 ? undefined : end);
    const match = line.startsWith(mark) ? /^\s*([a-z][a-z0-9]*)\s*=\s*(\S+)/i.exec(line.slice(mark.length)) : null;
    const [all = '', name = '', reference = ''] = match ?? [];
    const key = name.toLowerCase();
    if (!['syntax', 'escape', 'check'].includes(key) || seen.has(key)) return undefined;
    if (key === 'syntax') return { reference, line: number, column: mark.length + all.length - reference.length };
    seen.add(key);
    start = end < 0 ? text.length : end + 1;
  }
  return undefined;
}

function readJson(text: string, firstLine: number): Syntax | undefined {
  if (!text.trimStart().startsWith('{')) return undefined;
  let reference: unknown;
  try {
    ({ syntax: reference } = JSON.parse(text) as { syntax?: unknown });
  } catch {
    return undefined;
  }
  if (typeof reference !== 'string') return undefined;
  const before = text.slice(0, Math.max(0, text.indexOf(reference)));
  const line = firstLine + (before.match(/\n/g)?.length ?? 0);
  return { reference, line, column: before.length - before.lastIndexOf('\n') - 1 };
}
