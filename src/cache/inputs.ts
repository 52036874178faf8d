// What the digests of exact inputs are of, as text, so that a miss can name the files. Kept of the latest executions of each step only, and
// not at all where it is very long. Nothing but explanations is made of it: no result depends on it.

import type { Database } from '../base/database.ts';
import type { Digest } from '../base/digest.ts';

/** Executions of a step whose inputs are kept. */
const MAX_OF_STEP = 8;
const MAX_ROWS = 2000;
/** Some 200,000 files. */
const MAX_CHARACTERS = 16 << 20;
/** Beyond it a text is compressed. */
const SHORT = 32 << 10;

export interface KeptInput {
  readonly digest: Digest;
  readonly text: Uint8Array;
}

/** To be stored in the transaction of the result; made before it. Texts that are too long are left out. */
export async function packInputs(inputs: readonly { readonly digest: Digest; readonly text: string }[]): Promise<KeptInput[]> {
  const kept = inputs.filter(({ text }) => text.length <= MAX_CHARACTERS);
  if (kept.every(({ text }) => text.length <= SHORT))
    return kept.map(({ digest, text }) => ({ digest, text: Buffer.from(text) }));
  const { zstdCompressSync } = await import('node:zlib');
  return kept.map(({ digest, text }) => ({ digest, text: text.length <= SHORT ? Buffer.from(text) : zstdCompressSync(text) }));
}

export function storeInputs(db: Database, key: Digest, inputs: readonly KeptInput[]): void {
  for (const { digest, text } of inputs) {
    db.run(
      'INSERT INTO inputs (digest, key, text, created) VALUES (?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET created = excluded.created',
      digest,
      key,
      text,
      Date.now(),
    );
  }
  db.run(
    'DELETE FROM inputs WHERE key = ? AND digest NOT IN (SELECT digest FROM inputs WHERE key = ? ORDER BY created DESC LIMIT ?)',
    key,
    key,
    MAX_OF_STEP,
  );
  db.run('DELETE FROM inputs WHERE rowid <= (SELECT max(rowid) FROM inputs) - ?', MAX_ROWS);
}

/** Undefined: not kept. */
export async function readInput(db: Database, digest: Digest): Promise<string | undefined> {
  const text = db.get<{ text: Uint8Array }>('SELECT text FROM inputs WHERE digest = ?', digest)?.text;
  if (text === undefined) return undefined;
  if (text[0] !== 0x28 || text[1] !== 0xb5) return Buffer.from(text).toString();
  const { zstdDecompressSync } = await import('node:zlib');
  return zstdDecompressSync(text).toString();
}
