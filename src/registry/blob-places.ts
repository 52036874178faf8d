// The store's records of blobs that are elsewhere: which repositories have them, for mounting them from there, and what blobs our own compression
// makes of layers, for asking a registry about one without making it. Both are only hints: whoever uses them is ready for their being wrong.

import type { Database } from '../base/database.ts';
import type { Digest } from '../base/digest.ts';
import type { UnmadeBlob } from '../images/layer-blobs.ts';
import type { Descriptor } from '../oci/descriptor.ts';

/** Of either: those last written stay. */
const MOST_ROWS = 20_000;

/** `repository`: in full, without tag and digest. */
export function rememberPlaces(db: Database, repository: string, digests: readonly Digest[]): void {
  db.immediate(() => {
    const sql = 'INSERT OR REPLACE INTO blob_places (digest, repository) VALUES (?, ?)';
    for (const digest of digests) db.run(sql, digest, repository);
    db.run('DELETE FROM blob_places WHERE rowid <= (SELECT max(rowid) FROM blob_places) - ?', MOST_ROWS);
  });
}

/** The last that was heard of comes first. */
export function placesOf(db: Database, digest: Digest): string[] {
  const sql = 'SELECT repository FROM blob_places WHERE digest = ? ORDER BY rowid DESC LIMIT 8';
  return db.all<{ repository: string }>(sql, digest).map(({ repository }) => repository);
}

/** What a layer became the last time it was compressed so; plain it is its tar. */
export function knownBlob(db: Database, { layer, diffId, mediaType, compression, level }: UnmadeBlob): Descriptor | undefined {
  if (compression === 'none') return layer.tarSize === undefined ? undefined : { mediaType, digest: diffId, size: layer.tarSize };
  const sql = 'SELECT digest, size FROM made_blobs WHERE diff_id = ? AND compression = ? AND level = ?';
  const row = db.get<{ digest: Digest; size: number }>(sql, diffId, compression, level ?? DEFAULT_LEVEL);
  return row && { mediaType, digest: row.digest, size: row.size };
}

export function rememberBlob(
  db: Database,
  { diffId, compression, level }: Pick<UnmadeBlob, 'diffId' | 'compression' | 'level'>,
  { digest, size }: Descriptor,
): void {
  if (compression === 'none') return;
  const sql = 'INSERT OR REPLACE INTO made_blobs (diff_id, compression, level, digest, size) VALUES (?, ?, ?, ?, ?)';
  db.run(sql, diffId, compression, level ?? DEFAULT_LEVEL, digest, size);
  db.run('DELETE FROM made_blobs WHERE rowid <= (SELECT max(rowid) FROM made_blobs) - ?', MOST_ROWS);
}

const DEFAULT_LEVEL = -1;
