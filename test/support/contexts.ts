// Build contexts on disk, from plain descriptions.

import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll } from 'vitest';

const made: string[] = [];
afterAll(() => {
  for (const root of made) rmSync(root, { recursive: true, force: true });
});

/** Text, or a link, or text with a mode. */
export type ContextFile = string | { readonly link: string } | { readonly text: string; readonly mode: number };

export function makeContext(files: Readonly<Record<string, ContextFile>>): string {
  const root = mkdtempSync(path.join(tmpdir(), 'tbuild-context-'));
  made.push(root);
  writeFiles(root, files);
  return root;
}

export function writeFiles(root: string, files: Readonly<Record<string, ContextFile>>): void {
  for (const [name, file] of Object.entries(files)) {
    const at = path.join(root, name);
    mkdirSync(path.dirname(at), { recursive: true });
    if (typeof file === 'string') writeFileSync(at, file);
    else if ('link' in file) symlinkSync(file.link, at);
    else {
      writeFileSync(at, file.text);
      chmodSync(at, file.mode);
    }
  }
}
