import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { knownVariables } from '@lucid-sessions/kit/known-variables';
import {
  type Compose,
  checkCompose,
  checkDocumented,
  checkKnownList,
  checkRequired,
  checkValues,
  checkVariablesKnown,
  parseYaml,
  readDeployment,
  stagesOf,
  variablesRead,
} from '../deployment.ts';
import { readSources, type Source } from '../rules.ts';

const root = join(import.meta.dirname, '../..');
const deployment = readDeployment(root);
const fileOf = (path: string): string => deployment.find((file) => file.path === path)?.text ?? '';
const targets = stagesOf(fileOf('deploy/Dockerfile'));

/** The changelog tells of names that are no more, too. */
const documents: Source[] = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  ...globSync('docs/*.md', { cwd: root }),
].map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));

test('the list of known variables has each that is read, and no other', () => {
  const read = variablesRead(readSources(root));
  for (const name of ['LUCID_DATA_DIR', 'SESSION_METADATA_DB', 'CHUNK_SIZE_MB']) assert.ok(read.has(name), name);
  assert.deepEqual(checkKnownList(read, knownVariables), []);
  assert.deepEqual(checkKnownList(new Set(['LUCID_A', 'LUCID_B']), new Set(['LUCID_B', 'LUCID_C'])), [
    'services/kit/src/known-variables.ts lacks LUCID_A',
    'services/kit/src/known-variables.ts has LUCID_C, which nothing reads',
  ]);
});

test('documents and deploy/ name known variables only, and documents tell of each', () => {
  assert.deepEqual(checkVariablesKnown([...deployment, ...documents], knownVariables), []);
  const wrong = { path: 'deploy/x', text: 'ENV LUCID_DATA_DIRECTORY=/data LUCID_DATA_DIR=/data' };
  assert.deepEqual(checkVariablesKnown([wrong], knownVariables), ['deploy/x: nothing reads LUCID_DATA_DIRECTORY']);
  assert.deepEqual(checkDocumented(documents, knownVariables), []);
  const table = { path: 'x', text: '| `LUCID_S3_REGION`, `_PART_MB` | … |' };
  assert.deepEqual(checkDocumented([table], new Set(['LUCID_S3_PART_MB', 'LUCID_S3_PROFILE'])), [
    'no document tells of LUCID_S3_PROFILE',
  ]);
});

test('compose files name volumes, networks and build targets that are there, and every container of ours has a read-only root', () => {
  const files = deployment.filter(({ path }) => /^deploy\/compose[\w.]*\.yaml$/.test(path));
  assert.ok(files.length > 0);
  for (const { path, text } of files)
    for (const compose of parseYaml<Compose>(text)) assert.deepEqual(checkCompose(path, compose, targets), []);
  const broken: Compose = {
    services: {
      a: { image: 'lucid-sessions/a:1', build: { target: 'tea' }, volumes: ['b:/data'], networks: ['c'] },
    },
  };
  assert.equal(checkCompose('x', broken, targets).length, 4);
});

test('the images have a target for each service and say the version that is published', () => {
  for (const target of ['storage', 'processor', 'pipeline', 'recorder', 'api', 'all-in-one'])
    assert.ok(targets.has(target), target);
  const { version } = JSON.parse(readFileSync(join(root, 'apps/lucid-sessions/package.json'), 'utf8')) as {
    version: string;
  };
  assert.match(fileOf('deploy/Dockerfile'), new RegExp(`^ARG VERSION=${version}$`, 'm'));
  for (const { path, text } of deployment)
    for (const [, tag] of text.matchAll(/lucid-sessions\/[a-z-]+:(\d[\w.]*)/g)) assert.equal(tag, version, path);
});

test('each of several containers has the variables it can not do without', () => {
  const path = 'deploy/compose.yaml';
  const [compose] = parseYaml<Compose>(fileOf(path));
  assert.ok(compose !== undefined);
  assert.deepEqual(checkRequired(path, compose), []);
  const { 'session-api': api } = compose.services;
  assert.ok(api?.environment !== undefined);
  const { LUCID_JWT_SECRET_FILE: _, ...environment } = api.environment;
  const without = { services: { ...compose.services, 'session-api': { ...api, environment } } };
  assert.deepEqual(checkRequired(path, without), [`${path}: session-api lacks LUCID_JWT_SECRET_FILE`]);
  // The customer's names.
  for (const name of ['session-pipeline', 'session-recorder', 'chunk-processor', 'session-storage', 'session-api'])
    assert.ok(name in compose.services, name);
  for (const name of ['session_data', 'chunk_data']) assert.ok(name in (compose.volumes ?? {}), name);
  assert.deepEqual(compose.networks?.['lucid-network'], { name: 'lucid-network' });
});

test('the chart documents each value it takes, and takes no other', () => {
  const chart = 'deploy/helm/lucid-sessions';
  const [values] = parseYaml<Record<string, unknown>>(fileOf(`${chart}/values.yaml`));
  const schema = JSON.parse(fileOf(`${chart}/values.schema.json`)) as Parameters<typeof checkValues>[1];
  assert.deepEqual(checkValues(values ?? {}, schema), []);
  assert.deepEqual(checkValues({ ...values, tea: 1, logOrigin: undefined }, schema), [
    'logOrigin has no value',
    'tea is not in the schema',
  ]);
  const [{ version, appVersion } = { version: '', appVersion: '' }] = parseYaml<Record<string, string>>(
    fileOf(`${chart}/Chart.yaml`),
  );
  assert.equal(version, appVersion);
  assert.match(fileOf('deploy/Dockerfile'), new RegExp(`^ARG VERSION=${appVersion}$`, 'm'));
});

test('the unit of one service is that of all, but for its name and what it reads', () => {
  const settings = (name: string) =>
    new Set(
      fileOf(`deploy/systemd/${name}`)
        .split('\n')
        .filter((line) => /^\w+=/.test(line)),
    );
  const [all, each] = [settings('lucid-sessions.service'), settings('lucid-sessions@.service')];
  const own = (lines: ReadonlySet<string>) => [...lines].map((line) => line.split('=')[0]);
  assert.deepEqual(own(each.difference(all)), ['Description', 'Conflicts', 'EnvironmentFile', 'Environment']);
  assert.deepEqual(own(all.difference(each)), ['Description', 'Conflicts', 'Environment']);
  for (const setting of ['NoNewPrivileges=yes', 'ProtectSystem=strict', 'CapabilityBoundingSet='])
    assert.ok(all.has(setting), setting);
});
