/** What an operator reads of a service: one line and its facts, without any secret. Where it is written is the app's. */

import { countLine } from './metrics.ts';
import { activeTrace } from './tracing.ts';

export const logLevels = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof logLevels)[number];

/** The same names in every line of every service. */
export interface LogFacts {
  /** `info` unless given; `error` for a line that begins with ALARM. */
  level?: LogLevel;
  service?: string;
  /** Id of the session it is about. */
  session?: string;
  /** Id of the API's request. */
  request?: string;
  /** 32 and 16 hexadecimal digits (W3C Trace Context). */
  trace?: string;
  span?: string;
  /** In which work of the service. */
  where?: string;
  error?: LoggedError;
  /** Of a request: its operation, status, milliseconds, client. */
  more?: Readonly<Record<string, string | number | null>>;
}

/** Somebody has to be woken: evidence contradicts itself, or nothing is recorded. */
export const isAlarm = (line: string): boolean => line.startsWith('ALARM');

/** What is written of an error, and nothing else of it: libraries hang requests and settings on theirs. */
export interface LoggedError {
  type: string;
  message: string;
  code?: string;
  stack?: string;
}

export type ServiceLog = (line: string, facts?: LogFacts) => void;
/** Tells of an error nobody expected. */
export type OnError = (where: string, thrown: unknown, facts?: LogFacts) => void;

const characters = { line: 8192, stack: 16_384 } as const;

export function loggedError(thrown: unknown): LoggedError {
  if (!(thrown instanceof Error)) return { type: typeof thrown, message: String(thrown) };
  const { code } = thrown as NodeJS.ErrnoException;
  return {
    type: thrown.name,
    message: thrown.message,
    ...(typeof code === 'string' ? { code } : {}),
    ...(thrown.stack === undefined ? {} : { stack: thrown.stack }),
  };
}

/** `log` that writes neither a value of `secrets` nor anything that looks like a token, a key or an address with a password. */
export function maskedLog(log: ServiceLog, secrets: readonly string[]): ServiceLog {
  const mask = masker(secrets);
  const maskAll = <T extends object>(facts: T): T =>
    Object.fromEntries(
      Object.entries(facts).map(([name, value]) => [name, typeof value === 'string' ? mask(value) : value]),
    ) as T;
  return (line, { error, more, ...facts } = {}) => {
    const session = facts.session ?? sessionNamed.exec(line)?.[1];
    const level = facts.level ?? (isAlarm(line) ? 'error' : 'info');
    countLine(level, isAlarm(line));
    log(mask(line).slice(0, characters.line), {
      level,
      ...activeTrace(),
      ...maskAll(facts),
      ...(session === undefined ? {} : { session }),
      ...(error === undefined ? {} : { error: cut(maskAll(error)) }),
      ...(more === undefined ? {} : { more: maskAll(more) }),
    });
  };
}

/** A line that speaks of a session says so in these words. */
const sessionNamed = /\bsession ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b/;

const cut = ({ message, stack, ...rest }: LoggedError): LoggedError => ({
  ...rest,
  message: message.slice(0, characters.line),
  ...(stack === undefined ? {} : { stack: stack.slice(0, characters.stack) }),
});

const masked = '[secret]';
/** Shorter ones would take words out of every line; none of ours is. */
export const maskedCharactersMin = 6;

/** Values as they are, and as addresses, JSON and headers write them. */
const forms = (secret: string): string[] => [
  secret,
  encodeURIComponent(secret.toWellFormed()),
  JSON.stringify(secret).slice(1, -1),
  Buffer.from(secret).toString('base64'),
];

const shapes: readonly [RegExp, string][] = [
  // Signed tokens (RFC 7519) and what stands behind Bearer or Basic.
  [/\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g, masked],
  [/\b(Bearer|Basic)\s+[\w.~+/=-]{6,}/gi, `$1 ${masked}`],
  // Passwords in addresses, and values whose name says that they are secret.
  [/(\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@]*):[^\s/@]+@/gi, `$1:${masked}@`],
  [/\b((?:password|passwd|secret|token|api[_-]?key)=)[^\s&;,"']+/gi, `$1${masked}`],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, masked],
  [/\bAGE-SECRET-KEY-1[0-9A-Z]+/gi, masked],
];

/** Takes secrets out of a text. */
export function masker(secrets: readonly string[]): (text: string) => string {
  const known = [...new Set(secrets.filter(({ length }) => length >= maskedCharactersMin).flatMap(forms))]
    .sort((one, other) => other.length - one.length)
    .map((form) => RegExp.escape(form));
  const any = known.length === 0 ? null : new RegExp(known.join('|'), 'g');
  return (text) => {
    const without = any === null ? text : text.replaceAll(any, masked);
    return shapes.reduce((now, [shape, instead]) => now.replaceAll(shape, instead), without);
  };
}
