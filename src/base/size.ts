// Sizes as people write them: `64m`, `1.5GiB`, `20 GB`, powers of 1024 all (go-units' RAMInBytes, as every size that docker's flags take).

/** Bytes; undefined: it is no size. */
export function readSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?$/i.exec(text);
  if (!match) return undefined;
  const sizeBytes = Math.floor(Number(match[1]) * 1024 ** ' kmgtp'.indexOf(match[2]?.toLowerCase() || ' '));
  return sizeBytes <= Number.MAX_SAFE_INTEGER ? sizeBytes : undefined;
}
