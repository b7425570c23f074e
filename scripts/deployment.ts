/** What deploy/ says against what the product reads: every variable that is named there is one, and each container has what it needs. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { Source } from './rules.ts';

/** Families of variables that are the product's. */
const family = `(?:LUCID|RDP|SESSION|CHUNK|BLOCKCHAIN)_[A-Z0-9_]*[A-Z0-9]|REDIS_(?:URL|URL_FILE|CA|PASSWORD_FILE)|MAX_CONCURRENT_SESSIONS|COMPRESSION_LEVEL|ENCRYPTION_ALGORITHM`;
const ours = new RegExp(String.raw`\b(?:${family})\b`, 'g');
const isOurs = new RegExp(`^(?:${family})$`);
/** Looks like one and is none: an error's name, what begins the names of variables, a code of the verifier. */
const none =
  /^(?:LUCID_RESTORING|LUCID_TEST_\w+|LUCID_(?:COPY_)?S3|LUCID_ERR_\d+|CHUNK_(?:ALTERED|EXTRA|MISSING)|RDP_NEG_\w+)$/;

/** Variables that sources of services, adapters and apps name: in quotes, or behind `environment.`. */
export function variablesRead(sources: readonly Source[]): Set<string> {
  const found = new Set<string>();
  for (const { path, text } of sources) {
    if (!/^(?:services|adapters|apps)\/[^/]+\/src\//.test(path) || path === knownList) continue;
    for (const [, quoted, member] of text.matchAll(/'([A-Z][A-Z0-9_]+)'|\b(?:environment|env)\.([A-Z][A-Z0-9_]+)/g))
      found.add(quoted ?? member ?? '');
  }
  return new Set([...found].filter((name) => isOurs.test(name) && !none.test(name)));
}

const knownList = 'services/kit/src/known-variables.ts';
/** Read by names that are put together. */
const putTogether = /^LUCID_(?:(?:COPY_)?S3|RATE_LIMIT)_|_FILE$/;

/** The list of known variables against what is read, one finding a line. */
export function checkKnownList(read: ReadonlySet<string>, known: ReadonlySet<string>): string[] {
  const missing = [...read].filter((name) => !known.has(name)).map((name) => `${knownList} lacks ${name}`);
  const needless = [...known]
    .filter((name) => !read.has(name) && !putTogether.test(name))
    .map((name) => `${knownList} has ${name}, which nothing reads`);
  return [...missing, ...needless];
}

/** Known variables that no document tells of; `_A`, `_B` behind a name in a line stand for names that end so, `NAME_…` for all that begin so. */
export function checkDocumented(documents: readonly Source[], known: ReadonlySet<string>): string[] {
  const told = new Set<string>();
  for (const { text } of documents)
    for (const line of text.split('\n')) {
      const names = line.match(ours) ?? [];
      for (const [, beginning = ''] of line.matchAll(/`([A-Z0-9_]+_)…`/g))
        for (const name of known) if (name.startsWith(beginning)) told.add(name);
      const endings = [...line.matchAll(/`(_[A-Z0-9_]+)`/g)].map(([, ending = '']) => ending);
      for (const name of names) {
        told.add(name);
        // The last word or words of the name before give way to each ending.
        for (const ending of endings)
          for (let cut = name.lastIndexOf('_'); cut > 0; cut = name.lastIndexOf('_', cut - 1))
            told.add(name.slice(0, cut) + ending);
      }
    }
  return [...known].filter((name) => !told.has(name)).map((name) => `no document tells of ${name}`);
}

/** Files below deploy/ as text, by their path from the repository's root. */
export function readDeployment(root: string): Source[] {
  return globSync('deploy/**/*', { cwd: root, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => ({
      path: path.slice(root.length + 1).replaceAll('\\', '/'),
      text: readFileSync(path, 'utf8'),
    }));
}

/** What documents and `deploy/` name and nothing reads, one finding a line. */
export function checkVariablesKnown(files: readonly Source[], known: ReadonlySet<string>): string[] {
  return files.flatMap(({ path, text }) =>
    [...new Set(text.match(ours) ?? [])]
      .filter((name) => !known.has(name) && !none.test(name))
      .map((name) => `${path}: nothing reads ${name}`),
  );
}

interface ComposeService {
  image?: string;
  build?: { target?: string; dockerfile?: string };
  command?: string[];
  environment?: Record<string, string>;
  volumes?: string[];
  networks?: string[] | Record<string, unknown>;
  read_only?: boolean;
}
export interface Compose {
  services: Record<string, ComposeService>;
  volumes?: Record<string, unknown>;
  networks?: Record<string, unknown>;
}

/** One document; throws for YAML that is none, and for keys that stand twice. */
export function parseYaml<T>(text: string): T[] {
  const documents = parseAllDocuments(text, { uniqueKeys: true, merge: true });
  return [...documents].map((document) => {
    if (document.errors.length > 0) throw document.errors[0];
    return document.toJS() as T;
  });
}

/** What `docker compose config` would refuse, and what every container of ours keeps. */
export function checkCompose(path: string, compose: Compose, targets: ReadonlySet<string>): string[] {
  const findings: string[] = [];
  const { volumes = {}, networks = {} } = compose;
  for (const [name, service] of Object.entries(compose.services)) {
    const at = `${path}: ${name}`;
    for (const volume of service.volumes ?? []) {
      const [from = ''] = volume.split(':');
      if (/^\w/.test(from) && !(from in volumes)) findings.push(`${at} mounts ${from}, which is no volume of the file`);
    }
    const joined = Array.isArray(service.networks) ? service.networks : Object.keys(service.networks ?? {});
    for (const network of joined)
      if (!(network in networks)) findings.push(`${at} joins ${network}, which is no network of the file`);
    if (!service.image?.startsWith('lucid-sessions/')) continue;
    if (service.read_only !== true) findings.push(`${at} has no read-only root`);
    const target = service.build?.target;
    if (target !== undefined && !targets.has(target))
      findings.push(`${at} builds ${target}, which the Dockerfile lacks`);
  }
  return findings;
}

const addresses = ['SESSION_PIPELINE_URL', 'SESSION_RECORDER_URL', 'CHUNK_PROCESSOR_URL', 'SESSION_STORAGE_URL'];
const everywhere = ['LUCID_KEYS_PATH', 'LUCID_SERVICE_SECRET_FILE', ...addresses];
/** What a service on a machine of its own can't do without, by the image's target. */
const required: Readonly<Record<string, readonly string[]>> = {
  pipeline: [...everywhere, 'SESSION_METADATA_DB'],
  storage: [...everywhere, 'SESSION_METADATA_DB', 'CHUNK_STORAGE_PATH'],
  processor: everywhere,
  recorder: [...everywhere, 'LUCID_RECORDER_ID'],
  api: [...everywhere, 'LUCID_JWT_SECRET_FILE', 'LUCID_PUBLIC_RDP_HOST'],
};

/** Services of several containers that lack a variable. One that runs another command (`keys init`) needs none. */
export function checkRequired(path: string, { services }: Compose): string[] {
  return Object.entries(services).flatMap(([name, { build, command, environment = {} }]) =>
    (command === undefined ? (required[build?.target ?? ''] ?? []) : [])
      .filter((variable) => !(variable in environment))
      .map((variable) => `${path}: ${name} lacks ${variable}`),
  );
}

interface Schema {
  properties?: Record<string, Schema>;
  additionalProperties?: unknown;
  $ref?: string;
  definitions?: Record<string, Schema>;
}

/** A chart's values that its schema does not know, and the other way round: what is documented is what can be set. */
export function checkValues(values: Record<string, unknown>, schema: Schema, root = schema, path = ''): string[] {
  const own = schema.$ref === undefined ? schema : root.definitions?.[schema.$ref.split('/').at(-1) ?? ''];
  const { properties } = own ?? {};
  if (properties === undefined) return [];
  const findings = own?.additionalProperties === false ? [] : [`${path || 'values'} takes names that mean nothing`];
  for (const name of new Set([...Object.keys(values), ...Object.keys(properties)])) {
    const at = path === '' ? name : `${path}.${name}`;
    const [value, known] = [values[name], properties[name]];
    if (known === undefined) findings.push(`${at} is not in the schema`);
    else if (value === undefined) findings.push(`${at} has no value`);
    else if (typeof value === 'object' && value !== null && !Array.isArray(value))
      findings.push(...checkValues(value as Record<string, unknown>, known, root, at));
  }
  return findings;
}

/** Names of the stages of a Dockerfile. */
export const stagesOf = (dockerfile: string): Set<string> =>
  new Set([...dockerfile.matchAll(/^FROM \S+ AS (\S+)$/gm)].map(([, name = '']) => name));
