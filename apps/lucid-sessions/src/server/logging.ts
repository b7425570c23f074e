/** Where an operator reads what services say: JSON lines (pino), or lines for a person where a terminal is. */
import { styleText } from 'node:util';
import {
  type Environment,
  EnvironmentError,
  isAlarm,
  type LogFacts,
  type LogLevel,
  logLevels,
  readText,
  type ServiceLog,
} from '@lucid-sessions/kit';
import { pino } from 'pino';
import { printable } from '../cli/output.ts';

const formats = ['auto', 'json', 'pretty'] as const;
type LogFormat = (typeof formats)[number];

export interface LogSettings {
  level: LogLevel;
  format: LogFormat;
}

export function readLogSettings(environment: Environment): LogSettings {
  return {
    level: oneOf(logLevels, 'LUCID_LOG_LEVEL', readText(environment, 'LUCID_LOG_LEVEL', 'info')),
    format: oneOf(formats, 'LUCID_LOG_FORMAT', readText(environment, 'LUCID_LOG_FORMAT', 'auto')),
  };
}

function oneOf<T extends string>(known: readonly T[], variable: string, text: string): T {
  const found = known.find((each) => each === text.toLowerCase());
  if (found === undefined) throw new EnvironmentError(variable, `must be one of ${known.join(', ')}`);
  return found;
}

export interface LogStream {
  write(text: string): unknown;
  isTTY?: boolean;
}

/**
 * One line for each call, each with `time`, `level` and `msg` and those of `service`, `session`, `request`, `trace`, `span`, `where`,
 * `alarm` and `error` that are known. Lines arrive without secrets (`maskedLog`).
 */
export function openLog({ level, format }: LogSettings, stream: LogStream): ServiceLog {
  if (format === 'pretty' || (format === 'auto' && stream.isTTY === true)) return prettyLog(level, stream);
  const logger = pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (text) => void stream.write(text) },
  );
  return (line, { level: of = 'info', more, ...facts } = {}) =>
    logger[of]({ ...facts, ...alarmOf(line), ...more }, line);
}

const alarmOf = (line: string): { alarm?: true } => (isAlarm(line) ? { alarm: true } : {});

const colours = { error: 'red', warn: 'yellow', info: 'green', debug: 'gray' } as const;

function prettyLog(least: LogLevel, stream: LogStream): ServiceLog {
  const style = (format: Parameters<typeof styleText>[0], text: string): string =>
    stream.isTTY === true ? styleText(format, text, { stream: process.stderr }) : text;
  return (line, facts = {}) => {
    const { level = 'info', service = '' } = facts;
    if (logLevels.indexOf(level) > logLevels.indexOf(least)) return;
    const named = namedFacts(line, facts);
    const tail = named === '' ? '' : ` ${style('gray', named)}`;
    stream.write(
      `${style('gray', new Date().toISOString())} ${style(colours[level], level.padEnd(5))} ${service.padEnd(9)} ${printable(line)}${tail}\n`,
    );
    if (facts.error?.stack !== undefined) stream.write(`${printable(facts.error.stack)}\n`);
  };
}

/** What the line itself does not say. */
const namedFacts = (line: string, { session, request, trace }: LogFacts): string =>
  Object.entries({ session, request, trace })
    .flatMap(([name, value]) => (value === undefined || line.includes(value) ? [] : [`${name}=${value}`]))
    .join(' ');
