/** What /metrics serves against its page, the dashboard and the alert rules; and both in a real Prometheus. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, peerPath, skipUnlessPeers, startDesktop, startPrometheus } from '@lucid-sessions/testkit';
import { parse } from 'yaml';
import { recordSession, startGateway } from './support/gateway.ts';

const root = join(import.meta.dirname, '../../..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

interface Family {
  type: string;
  help: string;
  labels: Set<string>;
}

/** Families of Prometheus' text format by name; throws for a sample without HELP and TYPE before it. */
function families(text: string): Map<string, Family> {
  const found = new Map<string, Family>();
  for (const line of text.split('\n')) {
    const [, what, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (what === 'HELP') found.set(name, { type: '', help: rest, labels: new Set() });
    else if (what === 'TYPE') found.get(name)!.type = rest;
    else if (line !== '') {
      const [, sample = '', labels = ''] = /^([a-z_][a-z0-9_]*)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
      const family = found.get(sample) ?? found.get(sample.replace(/_(?:bucket|sum|count)$/, ''));
      assert.ok(family !== undefined && family.type !== '', `of no family: ${line}`);
      for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) if (label !== 'le') family.labels.add(label);
    }
  }
  return found;
}

/** Rows of the page's tables of metrics: `name`, type, labels, meaning. `when`: only there then. */
const page = new Map(
  [
    ...read('docs/monitoring.md').matchAll(
      /^\| `([a-z_0-9]+)`( \*)? \| (gauge|counter|histogram) \| ([^|]*) \| (.*) \|$/gm,
    ),
  ].map(([, name = '', sometimes, type, labels = '', help]) => [
    name,
    {
      sometimes: sometimes !== undefined,
      type,
      labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label),
      help,
    },
  ]),
);

/** Names of metrics in PromQL. */
const namesIn = (expression: string): string[] =>
  [
    ...expression
      .replaceAll(/"[^"]*"|\{[^}]*\}|\b(?:by|on|group_left)\s*\([^)]*\)/g, ' ')
      .matchAll(/\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b(?!\s*\()/g),
  ].map(([name]) => name);

interface Rule {
  alert: string;
  expr: string;
}
const rulesPath = 'deploy/prometheus/alerts.yml';
const rules = (parse(read(rulesPath)) as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules);
const dashboard = JSON.parse(read('deploy/grafana/lucid-sessions.json')) as {
  panels: { id: number; gridPos: { x: number; y: number; w: number; h: number }; targets?: { expr: string }[] }[];
};
const expressions = [
  ...rules.map(({ alert, expr }) => [alert, expr] as const),
  ...dashboard.panels.flatMap(({ id, targets = [] }) => targets.map(({ expr }) => [`panel ${id}`, expr] as const)),
];

const served = new Map<string, Family>();

test('every metric that is served is on the page as it is served, and the other way round', {
  timeout: 120_000,
}, async (t) => {
  const desktop = await startDesktop();
  t.after(() => desktop.stop());
  const gateway = await startGateway(t);
  await recordSession(gateway, desktop.port);
  for (const address of Object.values(gateway.lucid.addresses)) {
    const answer = await fetch(`${address}/metrics`);
    assert.match(answer.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
    for (const [name, family] of families(await answer.text())) served.set(name, family);
  }
  for (const [name, { type, labels, help }] of served) {
    const row = page.get(name);
    assert.ok(row !== undefined, `docs/monitoring.md lacks ${name}`);
    assert.deepEqual([row.type, row.help], [type, help], name);
    for (const label of labels) assert.ok(row.labels.includes(label), `${name} has the label ${label}`);
  }
  const missing = [...page].filter(([name, { sometimes }]) => !sometimes && !served.has(name)).map(([name]) => name);
  assert.deepEqual(missing, [], 'on the page and not served');
});

test('dashboard and alerts name only metrics of the page', () => {
  assert.ok(expressions.length > 40);
  for (const [where, expression] of expressions)
    for (const name of namesIn(expression))
      assert.ok(page.has(name) || page.has(name.replace(/_(?:bucket|sum|count)$/, '')), `${where}: ${name}`);
});

test('panels have places of their own', () => {
  const taken = new Set<string>();
  for (const { id, gridPos } of dashboard.panels)
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1)
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        assert.ok(x < 24 && !taken.has(`${x} ${y}`), `panel ${id}`);
        taken.add(`${x} ${y}`);
      }
  assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
});

test('alerts fire when they should: promtool', (t) => {
  if (skipUnlessPeers(t, 'prometheus')) return;
  const env = { PATH: peerPath() };
  execFileSync('promtool', ['check', 'rules', join(root, rulesPath)], { env });
  execFileSync('promtool', ['test', 'rules', join(root, 'deploy/prometheus/alerts.test.yml')], { env });
});

test('a real Prometheus scrapes every service, evaluates every rule and draws every panel', {
  timeout: 180_000,
}, async (t) => {
  if (skipUnlessPeers(t, 'prometheus')) return;
  const gateway = await startGateway(t);
  const targets = Object.values(gateway.lucid.addresses).map((address) => new URL(address).host);
  const prometheus = await startPrometheus({ targets, rules: join(root, rulesPath) });
  t.after(() => prometheus.stop());
  await eventually('five targets that answer', async () => {
    const { result } = await prometheus.ask<{ result: unknown[] }>('/query?query=up==1');
    return result.length === targets.length;
  });
  const evaluated = await eventually('an evaluation', async () => {
    const { groups } = await prometheus.ask<{
      groups: { rules: { name: string; health: string; lastError?: string }[] }[];
    }>('/rules');
    const all = groups.flatMap((group) => group.rules);
    return all.every(({ health }) => health !== 'unknown') && all;
  });
  assert.deepEqual(
    evaluated.filter(({ health }) => health !== 'ok'),
    [],
  );
  assert.equal(evaluated.length, rules.length);
  for (const [where, expression] of expressions) {
    const query = encodeURIComponent(expression.replaceAll('$__rate_interval', '5m'));
    await assert.doesNotReject(prometheus.ask(`/query?query=${query}`), where);
  }
});
