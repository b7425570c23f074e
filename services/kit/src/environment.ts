/** Reading the environment once, with messages that name the variable and say what it must be. */
import {
  type ChannelRules,
  channelPattern,
  channelPatternsMax,
  channelSwitches,
  clipboardWays,
  retentionDaysMax,
  type Unreplayable,
  unreplayable,
} from '@lucid-sessions/contract/recording-limits';

export type Environment = Record<string, string | undefined>;

/** A variable holds something it must not. The message names it; secrets are never quoted. */
export class EnvironmentError extends Error {
  override readonly name = 'EnvironmentError';
  readonly variable: string;

  constructor(variable: string, mustBe: string, options?: { cause: unknown }) {
    super(`${variable} ${mustBe}`, options);
    this.variable = variable;
  }
}

export function readText(environment: Environment, variable: string, fallback: string): string {
  const value = environment[variable];
  return value === undefined || value === '' ? fallback : value;
}

export function readInteger(
  environment: Environment,
  variable: string,
  bounds: { min: number; max: number; fallback: number },
): number {
  const text = environment[variable];
  if (text === undefined || text === '') return bounds.fallback;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= bounds.min && value <= bounds.max))
    throw new EnvironmentError(variable, `must be a whole number from ${bounds.min} to ${bounds.max}, not "${text}"`);
  return value;
}

export const readPort = (environment: Environment, variable: string, fallback: number) =>
  readInteger(environment, variable, { min: 0, max: 65_535, fallback });

export function readBoolean(environment: Environment, variable: string, fallback: boolean): boolean {
  const text = environment[variable]?.toLowerCase();
  if (text === undefined || text === '') return fallback;
  if (text === 'true' || text === '1') return true;
  if (text === 'false' || text === '0') return false;
  throw new EnvironmentError(variable, 'must be true or false');
}

/** Days a recording is kept, or null: until it is deleted. */
export function readRetentionDays(environment: Environment, variable: string): number | null {
  const text = readText(environment, variable, 'none');
  const days = parseRetentionDays(text);
  if (days === undefined)
    throw new EnvironmentError(variable, `must be days from 1 to ${retentionDaysMax}, or none (until deleted)`);
  return days;
}

/** Undefined: it is no retention. */
export function parseRetentionDays(text: string): number | null | undefined {
  if (text === 'none') return null;
  const days = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  return days >= 1 && days <= retentionDaysMax ? days : undefined;
}

/** SHA-256 of a certificate: 64 hexadecimal digits, also as openssl and Windows write them, with colons or spaces between bytes. Null: something else. */
export function parseCertificateSha256(text: string): string | null {
  const digits = /^[0-9A-Fa-f]{2}(?:[: ][0-9A-Fa-f]{2}){31}$/.test(text) ? text.replaceAll(/[: ]/g, '') : text;
  return /^[0-9A-Fa-f]{64}$/.test(digits) ? digits.toLowerCase() : null;
}

/** Names with + or commas between them, or none. Null: something else. */
export function parseLeaveIn(text: string): Unreplayable[] | null {
  if (text === 'none') return [];
  const names = text.split(/[+,]/).map((name) => name.trim());
  const known = unreplayable.filter((name) => names.includes(name));
  return known.length === names.length ? known : null;
}

export function readLeaveIn(environment: Environment, variable: string): Unreplayable[] {
  const names = parseLeaveIn(readText(environment, variable, 'none'));
  if (names === null)
    throw new EnvironmentError(variable, `must be none, or of ${unreplayable.join(', ')} those wanted`);
  return names;
}

/** Rules as `clipboard:out`, `drives:off`, `deny:NAME`, with + or blanks between them, or none. Null: something else. */
export function parseChannelRules(text: string): ChannelRules | null {
  if (text === 'none') return {};
  const rules: ChannelRules = {};
  for (const part of text.split(/[+\s]+/)) {
    const [, name = '', value = ''] = /^([a-z_]+):(.+)$/.exec(part) ?? [];
    if (!takesRule(rules, name, value)) return null;
  }
  return rules;
}

function takesRule(rules: ChannelRules, name: string, value: string): boolean {
  if (name === 'allow' || name === 'deny') {
    const names = [...(rules[name] ?? []), value];
    rules[name] = names;
    return channelPattern.test(value) && names.length <= channelPatternsMax;
  }
  if (Object.hasOwn(rules, name)) return false;
  if (name === 'clipboard' || name === 'clipboard_files') {
    const way = clipboardWays.find((each) => each === value);
    if (way !== undefined) rules[name] = way;
    return way !== undefined;
  }
  const known = channelSwitches.find((each) => each === name);
  if (known === undefined || (value !== 'on' && value !== 'off')) return false;
  rules[known] = value === 'on';
  return true;
}

export const channelRulesForm = `none, or with + between them of clipboard:${clipboardWays.join('|')}, clipboard_files: the same, ${channelSwitches.join(', ')} each :on or :off, allow:NAME, deny:NAME`;

export function readChannelRules(environment: Environment, variable: string): ChannelRules {
  const rules = parseChannelRules(readText(environment, variable, 'none'));
  if (rules === null) throw new EnvironmentError(variable, `must be ${channelRulesForm}`);
  return rules;
}

export function readUrl(environment: Environment, variable: string, fallback: string): string {
  const text = readText(environment, variable, fallback);
  const url = URL.parse(text);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw new EnvironmentError(variable, 'must be an http:// or https:// address');
  // fetch refuses such an address, and quotes it in its error.
  if (url.username !== '' || url.password !== '')
    throw new EnvironmentError(variable, 'must be an address without user and password');
  return text.replace(/\/+$/, '');
}

/** `charactersMin` keeps guessable secrets out. The message never quotes the value. */
export function readSecret(environment: Environment, variable: string, charactersMin: number): string {
  const text = environment[variable] ?? '';
  if (text.length < charactersMin)
    throw new EnvironmentError(variable, `must be set to a secret of at least ${charactersMin} characters`);
  return text;
}
