/** One file of settings beside the environment: YAML, with the names of the variables as its keys. The environment goes before it. */
import { readFileSync, statSync } from 'node:fs';
import {
  accessProblem,
  checkSecretMode,
  knownVariables,
  nearestVariable,
  secretValues,
  secretVariables,
} from '@lucid-sessions/kit';
import { isMap, isScalar, isSeq, LineCounter, type Pair, parseDocument, type Scalar } from 'yaml';
import type { ConfigFile, Setting } from './config-values.ts';

const bytesMax = 256 * 1024;
const charactersMax = 65_536;
/** Of OpenTelemetry's own, which its documentation names. */
const tracing = /^OTEL_(?:EXPORTER_OTLP_[A-Z_]{1,40}|SERVICE_NAME)$/;

/** What is wrong with a configuration file. Each line begins with its path and line; no value is quoted. */
export class ConfigFileError extends Error {
  override readonly name = 'ConfigFileError';
}

export function readConfigFile(path: string): ConfigFile {
  const { text, mode } = readText(path);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, version: '1.2' });
  const at = (node: unknown): string => `${path}:${lines.linePos((node as Scalar).range?.[0] ?? 0).line}`;
  const [broken] = document.errors;
  if (broken !== undefined)
    throw new ConfigFileError(`${path}:${broken.linePos?.[0].line ?? 1}: this is no YAML: ${broken.code}`);
  const { contents } = document;
  if (contents === null || (isScalar(contents) && contents.value === null)) return { path, settings: [] };
  if (!isMap(contents)) throw new ConfigFileError(`${at(contents)}: must be lines of NAME: value`);
  const problems: string[] = [];
  const settings: Setting[] = [];
  for (const pair of contents.items) {
    const read = readPair(pair);
    if (typeof read === 'string') problems.push(`${at(pair.key)}: ${read}`);
    else if (read !== null) settings.push({ ...read, from: at(pair.key) });
  }
  const [secret] = settings.filter(isSecret);
  if (secret !== undefined) problems.push(...openTo(path, mode, secret));
  if (problems.length > 0) throw new ConfigFileError(problems.join('\n'));
  return { path, settings };
}

function readText(path: string): { text: string; mode: number } {
  try {
    const { mode, size } = statSync(path);
    if (size > bytesMax) throw new ConfigFileError(`${path} is no configuration: it has ${size} bytes`);
    return { text: readFileSync(path, 'utf8'), mode };
  } catch (error) {
    const why = accessProblem(error);
    throw why === null ? error : new ConfigFileError(`the configuration ${path} can't be read: ${why}`);
  }
}

/** Null: nothing is set by it. A text: what is wrong with it. */
function readPair({ key, value }: Pair): { name: string; value: string } | null | string {
  const name = isScalar(key) ? String(key.value) : '';
  if (name === 'LUCID_CONFIG') return 'LUCID_CONFIG names this file, and is read from the environment alone';
  if (!knownVariables.has(name) && !tracing.test(name)) {
    const nearest = nearestVariable(name, 3);
    const shown = name.slice(0, 60).replaceAll(/[^\w-]/g, '?');
    return `nothing reads ${shown}${nearest === null ? '' : `: is ${nearest} meant?`}`;
  }
  const text = textOf(value);
  if (text === undefined) return `${name} must be one value, or a list of values`;
  if (text !== null && text.length > charactersMax) return `${name} is longer than ${charactersMax} characters`;
  return text === null || text === '' ? null : { name, value: text };
}

/** As it would stand in a variable; a list has commas. Undefined: it can't. */
function textOf(node: unknown): string | null | undefined {
  if (node === null) return null;
  if (isScalar(node)) {
    if (node.value === null) return null;
    // As it was written: 0123 and 1e3 are for the reader of the variable to judge.
    return typeof node.value === 'string' ? node.value : (node.source ?? String(node.value));
  }
  if (!isSeq(node)) return undefined;
  const parts = node.items.map((item) => (isScalar(item) ? textOf(item) : undefined));
  return parts.some((part) => part === undefined || part === null) ? undefined : parts.join(',');
}

const secretNames: ReadonlySet<string> = new Set(secretVariables);

/** A secret itself: one that a file holds which this names is looked after there. */
const isSecret = ({ name, value }: Setting): boolean => {
  if (name.endsWith('_FILE')) return false;
  if (/_(?:URL|DB)$/.test(name)) return secretValues({ [name]: value }).length > 0;
  return secretNames.has(name) || secretValues({ [name]: value }).length > 0;
};

function openTo(path: string, mode: number, { name, from }: Setting): string[] {
  try {
    checkSecretMode(path, mode, 'given');
    return [];
  } catch (error) {
    const mend = secretNames.has(name) ? `, or name a file with ${name}_FILE` : '';
    return [`${from}: ${name} is a secret, and ${(error as Error).message}${mend}`];
  }
}

/** For editors that check YAML: every name, and that no other stands there. */
export function configSchema(): Record<string, unknown> {
  const value = { type: ['string', 'number', 'boolean', 'null'] };
  const properties = [...knownVariables]
    .filter((name) => name !== 'LUCID_CONFIG')
    .sort()
    .map((name) => [name, { anyOf: [value, { type: 'array', items: value }] }]);
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Configuration of Lucid Sessions',
    description: 'docs/operations.md says what each is.',
    type: 'object',
    properties: Object.fromEntries(properties),
    patternProperties: { [tracing.source]: value },
    additionalProperties: false,
  };
}
