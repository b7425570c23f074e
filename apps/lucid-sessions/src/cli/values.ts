/** Values of options and arguments; what is none is told with the option's name, before anything is loaded. */
import type { Scope } from '@lucid-sessions/contract';
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

/** How long, in whole seconds: 90, 1:30, 00:01:30. */
export function wholeSeconds(text: string): number {
  const seconds = recordingTime(text) / 1_000_000;
  if (!Number.isInteger(seconds)) throw new InvalidArgumentError('must be whole seconds: 90, 1:30 or 00:01:30');
  return seconds;
}

const byteUnits = ['', 'kb', 'mb', 'gb', 'tb'];

/** 1500000, 1500kB, 2GB: powers of 1000, as sizes are shown. */
export function bytes(text: string): number {
  const [, count = '', unit = ''] = /^(\d{1,15}) ?([kmgt]?b)?$/i.exec(text) ?? [];
  const value = Number(count) * 1000 ** byteUnits.indexOf(unit.toLowerCase().replace(/^b$/, ''));
  if (count === '' || value >= 1e15) throw new InvalidArgumentError('must be a size as 1500000, 1500kB or 2GB');
  return value;
}

/** One part of a scope beside those given before; `all` alone: not limited. */
export function scopePart(text: string, before?: Scope | 'all'): Scope | 'all' {
  if (text === 'all' && before === undefined) return text;
  const scope = before === undefined ? { own: false, projects: [], labels: [], targets: [] } : before;
  const [, kind, name] = /^(project|label|target):(.+)$/s.exec(text) ?? [];
  if (scope === 'all' || text === 'all' || (text !== 'own' && name === undefined))
    throw new InvalidArgumentError('must be own, project:NAME, label:NAME or target:ID, several of them, or all alone');
  if (name === undefined) return { ...scope, own: true };
  const part = `${kind as 'project' | 'label' | 'target'}s` as const;
  return { ...scope, [part]: [...scope[part], name] };
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
