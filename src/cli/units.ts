// Sizes and times as docker writes them (docker/go-units). Pure.

const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** Three significant digits, decimal units: `7.8MB`, `142MB`, `1.23GB`. */
export function formatSize(sizeBytes: number): string {
  let value = sizeBytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toPrecision(3))}${units[unit]}`;
}

/** `About an hour ago`, `3 days ago`. */
export function formatAge(created: string | undefined, nowMs: number): string {
  const createdMs = created === undefined ? Number.NaN : Date.parse(created);
  if (Number.isNaN(createdMs)) return 'N/A';
  return `${formatDuration(Math.max(0, nowMs - createdMs))} ago`;
}

function formatDuration(durationMs: number): string {
  const seconds = Math.floor(durationMs / 1000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.round(durationMs / 3_600_000);
  const days = Math.floor(hours / 24);
  if (seconds < 1) return 'Less than a second';
  if (seconds === 1) return '1 second';
  if (seconds < 60) return `${seconds} seconds`;
  if (minutes === 1) return 'About a minute';
  if (minutes < 60) return `${minutes} minutes`;
  if (hours === 1) return 'About an hour';
  if (hours < 48) return `${hours} hours`;
  if (days < 14) return `${days} days`;
  if (days < 60) return `${Math.floor(days / 7)} weeks`;
  if (days < 730) return `${Math.floor(days / 30)} months`;
  return `${Math.floor(days / 365)} years`;
}

/** `0.4s`, `12.3s`, `2m 03s`. */
export function formatSeconds(durationMs: number): string {
  const seconds = Math.max(0, durationMs) / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)}s`;
  return `${Math.floor(seconds / 60)}m ${String(Math.floor(seconds % 60)).padStart(2, '0')}s`;
}
