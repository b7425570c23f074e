/** Texts for people. Pure functions: the locale is the browser's, times are shown in the browser's zone with UTC as title. */

export { formatBytes } from '@lucid-sessions/contract/sizes';

/** `0:07`, `12:34`, `1:02:03`. */
export function formatClock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const two = (n: number): string => String(n).padStart(2, '0');
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** `formatClock` with tenths or milliseconds. */
export function formatMoment(seconds: number, digits: 1 | 3 = 1): string {
  const scale = 10 ** digits;
  const parts = Math.floor(Math.max(0, seconds) * scale + 1e-6);
  return `${formatClock(parts / scale)}.${String(parts % scale).padStart(digits, '0')}`;
}

/** `1 hour 2 minutes`: for screen readers and sentences. */
export function spokenDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const parts = [
    [Math.floor(whole / 3600), 'hour'],
    [Math.floor((whole % 3600) / 60), 'minute'],
    [whole % 60, 'second'],
  ] as const;
  const words = parts
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}${count === 1 ? '' : 's'}`);
  return words.length > 0 ? words.join(' ') : '0 seconds';
}

/** `23 Nov 2026, 00:12:05` in the browser's zone; a dash for nothing. */
export function formatInstant(rfc3339: string | null | undefined): string {
  if (!rfc3339) return '–';
  const date = new Date(rfc3339);
  if (Number.isNaN(date.getTime())) return rfc3339;
  return date.toLocaleString(undefined, {
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  });
}

/** `abcdef12…9876` of a long hex or id. */
export function shorten(text: string, head = 10, tail = 6): string {
  return text.length > head + tail + 1 ? `${text.slice(0, head)}…${text.slice(-tail)}` : text;
}

/** `load_balance_token` → `Load balance token`. */
export function humanise(name: string): string {
  const words = name.replaceAll('_', ' ').trim();
  return words === 'api' ? 'API' : words.charAt(0).toUpperCase() + words.slice(1);
}

/** `#t=12.5`, `#t=1:02:03` (media fragments, npt) → seconds; null when there is none. */
export function parseMoment(hash: string): number | null {
  const match = /(?:^#?|&)t=([0-9:.]+)/.exec(hash);
  if (!match?.[1]) return null;
  const parts = match[1].split(':').map(Number);
  if (parts.length > 3 || parts.some((part) => !Number.isFinite(part))) return null;
  return parts.reduce((sum, part) => sum * 60 + part, 0);
}
