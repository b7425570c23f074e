/** Values of options and arguments; what is none is told with the option's name, before anything is loaded. */
import { type ChannelRules, retentionDaysMax, type Unreplayable } from '@lucid-sessions/contract/recording-limits';
import {
  channelRulesForm,
  parseCertificateSha256,
  parseChannelRules,
  parseLeaveIn,
  parseRetentionDays,
} from '@lucid-sessions/kit/environment';
import { InvalidArgumentError } from 'commander';
import { parseRecordingTime } from '../commands/recording-time.ts';
import { parseTarget } from './target.ts';

export function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('must be a whole number');
  return Number(text);
}

export const between =
  (least: number, most: number) =>
  (text: string): number => {
    const value = /^\d{1,4}(\.\d{1,3})?$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most)) throw new InvalidArgumentError(`must be from ${least} to ${most}`);
    return value;
  };

export function retention(text: string): number | null {
  const days = parseRetentionDays(text);
  if (days === undefined) throw new InvalidArgumentError(`must be days from 1 to ${retentionDaysMax}, or none`);
  return days;
}

export function leaveIn(text: string): Unreplayable[] {
  const names = parseLeaveIn(text);
  if (names === null)
    throw new InvalidArgumentError('must be of graphics, bitmap_cache, udp, video those wanted, with +');
  return names;
}

export function certificateSha256(text: string): string {
  const sha256 = parseCertificateSha256(text);
  if (sha256 === null)
    throw new InvalidArgumentError('must be a SHA-256: 64 hexadecimal digits, colons between bytes or none');
  return sha256;
}

export function channelRules(text: string): ChannelRules {
  const rules = parseChannelRules(text);
  if (rules === null) throw new InvalidArgumentError(`must be ${channelRulesForm}`);
  return rules;
}

export function target(text: string): string {
  orInvalid(() => parseTarget(text));
  return text;
}

export const recordingTime = (text: string): number => orInvalid(() => parseRecordingTime(text));

function orInvalid<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

/** A day or a moment, as the API takes it: UTC where it names no zone. */
export function isoTime(text: string): string {
  const withZone = /T.*(?:Z|[+-]\d\d:\d\d)$/.test(text) || !text.includes('T') ? text : `${text}Z`;
  const ms = /^\d{4}-\d{2}-\d{2}(?:T|$)/.test(text) ? Date.parse(withZone) : Number.NaN;
  if (!Number.isFinite(ms)) throw new InvalidArgumentError('must be a time as 2026-11-30 or 2026-11-30T08:00:00Z');
  return new Date(ms).toISOString();
}
