import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type Compose,
  checkCompose,
  checkVariablesKnown,
  parseYaml,
  readDeployment,
  stagesOf,
  variablesRead,
} from '../deployment.ts';
import { readSources } from '../rules.ts';

const root = join(import.meta.dirname, '../..');
const deployment = readDeployment(root);
const fileOf = (path: string): string => deployment.find((file) => file.path === path)?.text ?? '';
const targets = stagesOf(fileOf('deploy/Dockerfile'));

test('every variable that deploy/ names is one the product reads', () => {
  const read = variablesRead(readSources(root));
  for (const known of ['LUCID_DATA_DIR', 'SESSION_METADATA_DB', 'CHUNK_SIZE_MB']) assert.ok(read.has(known), known);
  assert.deepEqual(checkVariablesKnown(deployment, read), []);
  const wrong = { path: 'deploy/x', text: 'ENV LUCID_DATA_DIRECTORY=/data LUCID_DATA_DIR=/data' };
  assert.deepEqual(checkVariablesKnown([wrong], read), ['deploy/x: nothing reads LUCID_DATA_DIRECTORY']);
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
