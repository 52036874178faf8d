// Sizes and times as docker writes them (docker/go-units). Pure.

const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

const binaryUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** Three significant digits, decimal units: `7.8MB`, `142MB`, `1.23GB`. */
export function formatSize(sizeBytes: number): string {
  return scaled(sizeBytes, 1000, units, 3);
}

/** Four of them: docker's sums. */
export function formatTotalSize(sizeBytes: number): string {
  return scaled(sizeBytes, 1000, units, 4);
}

/** `7.8MiB`, `1.234GiB`. */
export function formatBinarySize(sizeBytes: number): string {
  return scaled(sizeBytes, 1024, binaryUnits, 4);
}

function scaled(sizeBytes: number, base: number, names: readonly string[], digits: number): string {
  let value = sizeBytes;
  let unit = 0;
  while (value >= base && unit < names.length - 1) {
    value /= base;
    unit++;
  }
  return `${Number(value.toPrecision(digits))}${names[unit]}`;
}

/** `About an hour ago`, `3 days ago`. */
export function formatAge(created: string | undefined, nowMs: number): string {
  const createdMs = created === undefined ? Number.NaN : Date.parse(created);
  if (Number.isNaN(createdMs)) return 'N/A';
  return `${formatDuration(Math.max(0, nowMs - createdMs))} ago`;
}

/** `5 seconds`, `About a minute`. */
export function formatDuration(durationMs: number): string {
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

/** As Go's Time.String(): `2026-01-31 12:00:00 +0100 CET`. */
export function formatTime(timeMs: number): string {
  const at = new Date(timeMs);
  const two = (number: number) => String(number).padStart(2, '0');
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())} ${zoneOf(at)}`;
}

/** A zone without a name of its own has its offset as one. */
function zoneOf(at: Date): string {
  const minutes = -at.getTimezoneOffset();
  const two = (number: number) => String(Math.floor(number)).padStart(2, '0');
  const offset = `${minutes < 0 ? '-' : '+'}${two(Math.abs(minutes) / 60)}${two(Math.abs(minutes) % 60)}`;
  if (minutes === 0) return `${offset} UTC`;
  const names = ['en-US', 'en-GB'].map((language) => {
    const parts = new Intl.DateTimeFormat(language, { timeZoneName: 'short' }).formatToParts(at);
    return parts.find(({ type }) => type === 'timeZoneName')?.value ?? '';
  });
  return `${offset} ${names.find((name) => /^[A-Z]+$/.test(name)) ?? offset.replace(/00$/, '')}`;
}
