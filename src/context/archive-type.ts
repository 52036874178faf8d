// Whether bytes begin as an archive does: told by content, never by a name (Docker: archive.IsArchivePath; BuildKit: dockerui isArchive).
// Says nothing of what comes behind the beginning.

/** How many bytes `looksLikeArchive` wants to see, if there are so many. */
export const ARCHIVE_HEAD_BYTES = 512;

const magics = ['1f8b08', '425a68', 'fd377a585a00', '28b52ffd'];

/** gzip, bzip2, xz, zstd, or a tar's header: one that sums up to what it says. */
export function looksLikeArchive(head: Buffer): boolean {
  if (magics.some((magic) => head.subarray(0, magic.length / 2).toString('hex') === magic)) return true;
  if (head.length < ARCHIVE_HEAD_BYTES) return false;
  const said = /^[ \0]*([0-7]+)[ \0]*$/.exec(head.toString('latin1', 148, 156))?.[1];
  if (said === undefined) return false;
  // The sum's own field counts as spaces. Some writers add up signed bytes (POSIX pax, "ustar Interchange Format": old ones did).
  const bytes = [...head.subarray(0, 148), ...Array<number>(8).fill(0x20), ...head.subarray(156, ARCHIVE_HEAD_BYTES)];
  const unsigned = bytes.reduce((sum, byte) => sum + byte, 0);
  const signed = bytes.reduce((sum, byte) => sum + (byte > 127 ? byte - 256 : byte), 0);
  return [unsigned, signed].includes(Number.parseInt(said, 8));
}
